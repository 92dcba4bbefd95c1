// Draws what /state holds, again for every event, and sends actions. No library: the page works wherever the lab runs.
"use strict";

const SIGNS = { up: "●", degraded: "▲", down: "✕", unknown: "?" };
const RANK = { down: 3, degraded: 2, unknown: 1, up: 0 };
const SVG = "http://www.w3.org/2000/svg";
let selected = null;

const $ = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Every VIP entry of every leaf: key -> leaf -> the entry.
function vips(state) {
  const rows = new Map();
  for (const [leaf, root] of Object.entries(state.leaves)) {
    for (const cluster of root?.cluster ?? []) {
      for (const service of cluster.service ?? []) {
        const entries = service.vip?.length ? service.vip : [{ ...service, address: "no address" }];
        for (const vip of entries) {
          const key = `${vip.address}  ${cluster.name}/${service.namespace}/${service.name}`;
          if (!rows.has(key)) rows.set(key, new Map());
          rows.get(key).set(leaf, vip);
        }
      }
    }
  }
  return new Map([...rows].sort((a, b) => worst(b[1]) - worst(a[1]) || a[0].localeCompare(b[0])));
}

const worst = (byLeaf) => Math.max(0, ...[...byLeaf.values()].map((vip) => RANK[vip["oper-state"]] ?? 1));

// The session of a node with a leaf, as that leaf reports it.
function session(state, leaf, node) {
  const cluster = (state.leaves[leaf]?.cluster ?? []).find((it) => it.name === node.cluster);
  const entry = (cluster?.node ?? []).find((it) => it.name === node.name);
  return { session: entry?.["session-state"], cause: entry?.["probable-cause"], state: entry?.["oper-state"] };
}

function leafState(rows, state, leaf) {
  if (!state.leaves[leaf]) return "unknown";
  let rank = 0;
  for (const byLeaf of rows.values()) rank = Math.max(rank, RANK[byLeaf.get(leaf)?.["oper-state"]] ?? 0);
  return Object.keys(RANK).find((name) => RANK[name] === rank);
}

function drawFabric(state, rows) {
  const { spines, leaves, nodes } = state.fabric;
  const step = 190, width = Math.max(step * Math.max(leaves.length, nodes.length, 2), 600);
  const across = (index, count) => (width * (index + 0.5)) / count;
  const picture = $("fabric");
  picture.setAttribute("viewBox", `0 0 ${width} 360`);
  picture.replaceChildren();
  const place = new Map();
  spines.forEach((name, index) => place.set(`spine/${name}`, [across(index, spines.length), 40]));
  leaves.forEach((leaf, index) => place.set(`leaf/${leaf.name}`, [across(index, leaves.length), 160]));
  // A node stands below the first of its leaves, beside the others there.
  const below = new Map();
  nodes.forEach((node) => {
    const first = node.leaves[0];
    below.set(first, [...(below.get(first) ?? []), node]);
  });
  for (const [leaf, list] of below) {
    const [x] = place.get(`leaf/${leaf}`) ?? [width / 2];
    list.forEach((node, index) => {
      const shift = (index - (list.length - 1) / 2) * 130;
      place.set(`node/${node.cluster}/${node.name}`, [Math.min(Math.max(x + shift, 65), width - 65), 300]);
    });
  }
  const line = (from, to, attributes) => {
    if (!from || !to) return;
    picture.append(shape("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], ...attributes }));
  };
  for (const leaf of leaves) {
    for (const spine of leaf.spines) {
      line(place.get(`spine/${spine}`), place.get(`leaf/${leaf.name}`), { stroke: "#c9ced6", "stroke-width": 1.5 });
    }
  }
  for (const node of nodes) {
    for (const leaf of node.leaves) {
      const seen = session(state, leaf, node);
      const fine = seen.session === "established";
      const from = place.get(`leaf/${leaf}`), to = place.get(`node/${node.cluster}/${node.name}`);
      const attributes = fine ? { stroke: "#1c7a48" } : { stroke: "#b3261e", "stroke-dasharray": "7 6" };
      line(from, to, { ...attributes, "stroke-width": 3 });
      if (!fine && from && to) {
        const label = `✕ ${seen.session ?? "no session"}${seen.cause ? `, ${seen.cause}` : ""}`;
        picture.append(shape("text", { x: (from[0] + to[0]) / 2, y: (from[1] + to[1]) / 2, fill: "#b3261e" }, label));
      }
    }
  }
  const box = (at, name, lines, fill, stroke) => {
    const [x, y] = at;
    picture.append(shape("rect", { x: x - 62, y: y - 30, width: 124, height: 62, rx: 8, fill, stroke, "stroke-width": 2.5 }));
    picture.append(shape("text", { x, y: y - 8, class: "name" }, name));
    lines.forEach((text, index) => picture.append(shape("text", { x, y: y + 14 + 18 * index }, text)));
  };
  for (const name of spines) box(place.get(`spine/${name}`), name, [], "#fff", "#555");
  const fills = { up: "#e4f3ea", degraded: "#fff3d6", down: "#fdeceb", unknown: "#eceff1" };
  const strokes = { up: "#1c7a48", degraded: "#b06a00", down: "#b3261e", unknown: "#5f6368" };
  for (const leaf of leaves) {
    const word = leafState(rows, state, leaf.name);
    box(place.get(`leaf/${leaf.name}`), leaf.name, [`${SIGNS[word]} ${word}`], fills[word], strokes[word]);
  }
  for (const node of nodes) {
    box(place.get(`node/${node.cluster}/${node.name}`), node.name, [node.addresses[0] ?? ""], "#f1f7ee", "#3c7a2a");
  }
}

function drawGrid(state, rows) {
  const leaves = Object.keys(state.leaves);
  const head = element("tr", {}, element("th", { scope: "col" }, "VIP"), ...leaves.map((leaf) => element("th", { scope: "col" }, leaf)));
  $("grid").tHead.replaceChildren(head);
  const body = [];
  for (const [key, byLeaf] of rows) {
    const cells = leaves.map((leaf) => {
      const vip = byLeaf.get(leaf);
      const word = vip?.["oper-state"] ?? "unknown";
      const reason = vip?.["oper-reason"] ?? "";
      const id = `${leaf}  ${key}`;
      const button = element("button", { class: word, "data-id": id, title: reason || word }, `${SIGNS[word]} ${reason || word}`);
      button.addEventListener("click", () => { selected = id; drawDetail(rows); });
      return element("td", {}, button);
    });
    body.push(element("tr", {}, element("th", { scope: "row" }, key), ...cells));
  }
  const focused = document.activeElement?.dataset?.id;
  $("grid").tBodies[0].replaceChildren(...body);
  // Drawing again must not take the keyboard's place away.
  if (focused) [...document.querySelectorAll("td button")].find((it) => it.dataset.id === focused)?.focus();
}

function drawDetail(rows) {
  if (!selected) return;
  for (const [key, byLeaf] of rows) {
    for (const [leaf, vip] of byLeaf) {
      if (`${leaf}  ${key}` !== selected) continue;
      const owner = vip.owner ? `, owner ${vip.owner}` : "";
      const cause = vip["cause-detail"] ? ` ${vip["cause-detail"]}` : "";
      $("detail").textContent = `${leaf}, ${vip.address}: ${vip["oper-state"]}${owner}. ${vip["oper-detail"] ?? "Everything expected is installed."}${cause}`;
      return;
    }
  }
}

function drawAlarms(state) {
  const all = [];
  for (const [leaf, root] of Object.entries(state.leaves)) {
    for (const alarm of root?.alarm ?? []) all.push({ leaf, ...alarm });
  }
  all.sort((a, b) => String(b.raised).localeCompare(String(a.raised)));
  const items = all.slice(0, 12).map((alarm) =>
    element("li", {}, element("span", { class: "severity" }, `${alarm.severity} `), `${alarm.leaf}: ${alarm.text}`));
  $("alarms").replaceChildren(...(items.length ? items : [element("li", {}, "none")]));
}

function drawLevers(state) {
  const pulled = new Set(state.pulled.map((it) => it.words));
  const offers = [...state.pulled, ...state.offered.filter((it) => !pulled.has(it.words))];
  const buttons = offers.map((it) => {
    const is = pulled.has(it.words);
    const button = element("button", { "aria-pressed": String(is), "data-id": it.words }, is ? `release ${it.words}` : it.words);
    button.addEventListener("click", () => act(is ? { release: it.lever } : { pull: it.lever }));
    return button;
  });
  const focused = document.activeElement?.dataset?.id;
  $("levers").replaceChildren(...buttons);
  if (focused) buttons.find((it) => it.dataset.id === focused)?.focus();
}

function drawScore(state, rows) {
  $("name").textContent = state.name;
  $("description").textContent = state.description;
  document.title = state.name;
  const leaves = Object.keys(state.leaves);
  const well = [...rows.values()].filter((byLeaf) => leaves.every((leaf) => byLeaf.get(leaf)?.["oper-state"] === "up"));
  $("score").textContent = `${well.length} of ${rows.size} VIPs up on every leaf`;
  $("score").className = rows.size && well.length === rows.size ? "up" : "degraded";
}

async function act(action) {
  const answer = await fetch("act", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(action) });
  $("answer").textContent = answer.ok ? "" : await answer.text();
}

async function draw() {
  const state = await (await fetch("state")).json();
  const rows = vips(state);
  drawScore(state, rows);
  drawFabric(state, rows);
  drawGrid(state, rows);
  drawDetail(rows);
  drawAlarms(state);
  drawLevers(state);
}

// One drawing at a time; what changes meanwhile is drawn after it.
let drawing = false, again = false;
async function redraw() {
  if (drawing) { again = true; return; }
  drawing = true;
  try {
    do { again = false; await draw(); } while (again);
  } catch (error) {
    $("answer").textContent = "The lab does not answer.";
  } finally {
    drawing = false;
  }
}

const source = new EventSource("events");
source.onmessage = redraw;
source.onerror = () => { $("answer").textContent = "The lab does not answer."; };
source.onopen = () => { $("answer").textContent = ""; };
