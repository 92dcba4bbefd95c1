// Draws what /state holds, again for every event, and sends actions. No library: the page works wherever the lab runs.
"use strict";

const SIGNS = { up: "●", degraded: "▲", down: "✕", unknown: "?" };
const RANK = { down: 3, degraded: 2, unknown: 1, up: 0 };
const SEVERITIES = { critical: "✕", major: "▲", minor: "◆", warning: "○" };
// Who has to act: what the fabric's operator can mend comes first, whatever its state.
const OWNERS = ["network", "cluster", "application"];
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
  const rows = new Map(), clusters = new Map();
  for (const [leaf, root] of Object.entries(state.leaves)) {
    for (const cluster of root?.cluster ?? []) {
      for (const service of cluster.service ?? []) {
        const entries = service.vip?.length ? service.vip : [{ ...service, address: "no address" }];
        for (const vip of entries) {
          const key = `${vip.address}  ${cluster.name}/${service.namespace}/${service.name}`;
          if (!rows.has(key)) rows.set(key, new Map());
          rows.get(key).set(leaf, vip);
          clusters.set(key, cluster.name);
        }
      }
    }
  }
  // A leaf that follows the cluster and has no such VIP knows nothing of it; any other leaf has no part in it.
  for (const [key, byLeaf] of rows) {
    for (const [leaf, root] of Object.entries(state.leaves)) {
      const follows = !root || (root.cluster ?? []).some((it) => it.name === clusters.get(key));
      if (follows && !byLeaf.has(leaf)) byLeaf.set(leaf, { "oper-state": "unknown" });
    }
  }
  const order = (row) => [owner(row[1]) ? OWNERS.indexOf(owner(row[1])) : OWNERS.length, -worst(row[1])];
  const byOrder = (a, b) => order(a)[0] - order(b)[0] || order(a)[1] - order(b)[1];
  return new Map([...rows].sort((a, b) => byOrder(a, b) || a[0].localeCompare(b[0], "en", { numeric: true })));
}

const rank = (vip) => RANK[vip?.["oper-state"]] ?? 1;
const worst = (byLeaf) => Math.max(0, ...[...byLeaf.values()].map(rank));
const isUp = (vip) => vip?.["oper-state"] === "up";

// Whose a VIP's fault is: the first in line of those any leaf names; none if it is up everywhere.
function owner(byLeaf) {
  const owners = [...byLeaf.values()].filter((vip) => !isUp(vip)).map((vip) => vip.owner);
  return OWNERS.find((it) => owners.includes(it));
}

// The session of a node with a leaf, as that leaf reports it.
function session(state, leaf, node) {
  const cluster = (state.leaves[leaf]?.cluster ?? []).find((it) => it.name === node.cluster);
  const entry = (cluster?.node ?? []).find((it) => it.name === node.name);
  return { session: entry?.["session-state"], cause: entry?.["probable-cause"], state: entry?.["oper-state"] };
}

// A leaf has the colour of the worst VIP that is the network's or the cluster's to mend: pods that are not ready are no fault
// of a leaf.
function leafState(rows, state, leaf) {
  if (!state.leaves[leaf]) return { word: "unknown", reason: "not heard" };
  const here = [...rows.values()].map((byLeaf) => byLeaf.get(leaf)).filter((vip) => vip && vip.owner !== "application");
  const first = here.sort((a, b) => rank(b) - rank(a))[0];
  const word = first?.["oper-state"] ?? "up";
  return { word, reason: word === "up" ? "" : first["oper-reason"] ?? "" };
}

function drawFabric(state, rows) {
  const { spines, leaves, nodes } = state.fabric;
  const step = 195, width = Math.max(step * Math.max(leaves.length, nodes.length, 2), 600);
  const across = (index, count) => (width * (index + 0.5)) / count;
  const picture = $("fabric");
  picture.setAttribute("viewBox", `0 0 ${width} 345`);
  picture.replaceChildren();
  const place = new Map();
  spines.forEach((name, index) => place.set(`spine/${name}`, [across(index, spines.length), 26]));
  leaves.forEach((leaf, index) => place.set(`leaf/${leaf.name}`, [across(index, leaves.length), 145]));
  // A node stands below the first of its leaves, beside the others there.
  const below = new Map();
  nodes.forEach((node) => {
    const first = node.leaves[0];
    below.set(first, [...(below.get(first) ?? []), node]);
  });
  for (const [leaf, list] of below) {
    const [x] = place.get(`leaf/${leaf}`) ?? [width / 2];
    list.forEach((node, index) => {
      const shift = (index - (list.length - 1) / 2) * 165;
      place.set(`node/${node.cluster}/${node.name}`, [Math.min(Math.max(x + shift, 80), width - 80), 298]);
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
        const words = [`✕ ${seen.session ?? "no session"}`, seen.cause].filter(Boolean);
        const x = (from[0] + to[0]) / 2 + 8, y = (from[1] + to[1]) / 2;
        words.forEach((word, line) => picture.append(shape("text", { x, y: y + 20 * line, class: "lost" }, word)));
      }
    }
  }
  const box = (at, name, lines, fill, stroke) => {
    const [x, y] = at;
    const height = 32 + 21 * lines.length, top = y - height / 2;
    picture.append(shape("rect", { x: x - 78, y: top, width: 156, height, rx: 8, fill, stroke, "stroke-width": 2.5 }));
    // Long names are pressed into the box.
    const fit = (text) => (text.length > 15 ? { textLength: 144, lengthAdjust: "spacingAndGlyphs" } : {});
    picture.append(shape("text", { x, y: top + 22, class: "name", ...fit(name) }, name));
    lines.forEach((text, index) => picture.append(shape("text", { x, y: top + 43 + 21 * index, ...fit(text) }, text)));
  };
  for (const name of spines) box(place.get(`spine/${name}`), name, [], "#fff", "#555");
  const fills = { up: "#e4f3ea", degraded: "#fff3d6", down: "#fdeceb", unknown: "#eceff1" };
  const strokes = { up: "#1c7a48", degraded: "#b06a00", down: "#b3261e", unknown: "#5f6368" };
  for (const leaf of leaves) {
    const { word, reason } = leafState(rows, state, leaf.name);
    const lines = [`${SIGNS[word]} ${word}`, reason].filter(Boolean);
    box(place.get(`leaf/${leaf.name}`), leaf.name, lines, fills[word], strokes[word]);
  }
  for (const node of nodes) {
    const fine = node.leaves.every((leaf) => session(state, leaf, node).session === "established");
    const word = fine ? "up" : "down";
    const lines = [node.addresses[0], ...(fine ? [] : ["✕ session lost"])].filter(Boolean);
    box(place.get(`node/${node.cluster}/${node.name}`), node.name, lines, fills[word], strokes[word]);
  }
  const lost = nodes.filter((node) => node.leaves.some((leaf) => session(state, leaf, node).session !== "established"));
  const said = leaves.map((leaf) => `${leaf.name} ${leafState(rows, state, leaf.name).word}`).join(", ");
  picture.setAttribute("aria-label", `${said}. ${lost.length} of ${nodes.length} nodes have lost a BGP session.`);
}

function drawGrid(state, rows) {
  const leaves = Object.keys(state.leaves);
  const names = ["VIP and owner", ...leaves];
  const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)));
  $("grid").tHead.replaceChildren(head);
  document.querySelector("main").classList.toggle("wide", leaves.length > 4);
  const body = [];
  for (const [key, byLeaf] of rows) {
    const cells = leaves.map((leaf) => {
      const vip = byLeaf.get(leaf);
      if (!vip) return element("td", { title: `${leaf} does not follow this cluster` }, "–");
      const word = vip?.["oper-state"] ?? "unknown";
      const reason = vip?.["oper-reason"] ?? "";
      const id = `${leaf}  ${key}`;
      const label = `${leaf}, ${vip?.address ?? key}: ${word} ${reason}`.trim();
      const button = element("button", { "data-id": id, "aria-label": label }, `${SIGNS[word] ?? "?"} ${reason || word}`);
      button.addEventListener("click", () => { selected = id; drawDetail(rows); });
      button.addEventListener("keydown", moveInGrid);
      return element("td", { class: word }, button);
    });
    const [address, name] = key.split("  ");
    const title = element("th", { scope: "row" }, element("b", {}, address), element("br"), name);
    if (owner(byLeaf)) title.append(element("br"), element("i", {}, `${owner(byLeaf)} to act`));
    body.push(element("tr", {}, title, ...cells));
  }
  const focused = document.activeElement?.dataset?.id;
  $("grid").tBodies[0].replaceChildren(...body);
  // Drawing again must not take the keyboard's place away.
  if (focused) [...document.querySelectorAll("td button")].find((it) => it.dataset.id === focused)?.focus();
}

// Arrow keys go from cell to cell, as in any table.
function moveInGrid(event) {
  const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
  if (down === undefined) return;
  const cell = event.target.closest("td"), row = cell.parentElement;
  const rows = [...$("grid").tBodies[0].rows];
  rows[rows.indexOf(row) + down]?.cells[cell.cellIndex + right]?.querySelector("button")?.focus();
  event.preventDefault();
}

function drawDetail(rows) {
  if (!selected) return;
  for (const [key, byLeaf] of rows) {
    for (const [leaf, vip] of byLeaf) {
      if (`${leaf}  ${key}` !== selected) continue;
      const owner = vip.owner ? `, owner ${vip.owner}` : "";
      const cause = vip["cause-detail"] ? `. Cause: ${vip["cause-detail"]}` : "";
      $("detail").textContent = `${leaf}, ${vip.address}: ${vip["oper-state"]}${owner}. ${vip["oper-detail"] ?? "everything expected is installed"}${cause}`;
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
  // The same alarm of several leaves is one line.
  const byId = new Map();
  for (const alarm of all) byId.set(alarm.id, [...(byId.get(alarm.id) ?? []), alarm]);
  const groups = [...byId.values()];
  const items = groups.slice(0, 6).map((group) => {
    const alarm = group[0];
    const leaves = group.map((it) => it.leaf).sort().join(", ");
    const head = `${SEVERITIES[alarm.severity] ?? ""} ${alarm.severity}`;
    const time = String(alarm.raised ?? "").slice(11, 19);
    const about = ` ${leaves}, ${time}${alarm.owner ? `, ${alarm.owner}` : ""}: `;
    return element("li", {}, element("span", { class: `severity ${alarm.severity}` }, head), about, alarm.text);
  });
  $("alarms").replaceChildren(...(items.length ? items : [element("li", {}, "none")]));
  $("more").textContent = groups.length > items.length ? `and ${groups.length - items.length} more` : "";
}

function drawLevers(state) {
  // A node may be named with its cluster or without.
  const plain = (it) => it.words.replace(/node=[^ ]*\//, "node=");
  const pulled = new Set(state.pulled.map(plain));
  const offers = [...state.pulled, ...state.offered.filter((it) => !pulled.has(plain(it)))];
  const kinds = new Map();
  for (const it of offers) {
    const is = pulled.has(plain(it));
    const [kind, ...rest] = it.words.split(" ");
    const where = rest.map((word) => word.split("=").slice(1).join("=")).join(" ");
    const attributes = { "aria-pressed": String(is), "aria-label": `${is ? "release" : "pull"} ${it.words}`, "data-id": plain(it) };
    const button = element("button", attributes, is ? `✕ ${where}: release` : where);
    button.addEventListener("click", () => act(is ? { release: it.lever } : { pull: it.lever }));
    kinds.set(kind, [...(kinds.get(kind) ?? []), button]);
  }
  const focused = document.activeElement?.dataset?.id;
  const rows = [...kinds].sort().map(([kind, buttons]) => element("p", {}, element("b", {}, kind), " ", ...buttons));
  $("levers").replaceChildren(...rows);
  if (focused) [...document.querySelectorAll("#levers button")].find((it) => it.dataset.id === focused)?.focus();
}

function drawScore(state, rows) {
  $("name").textContent = state.name;
  $("description").textContent = state.description;
  document.title = state.name;
  const well = [...rows.values()].filter((byLeaf) => [...byLeaf.values()].every(isUp));
  $("score").textContent = `${well.length} of ${rows.size} VIPs up on every leaf`;
  const all = rows.size && well.length === rows.size;
  $("score").textContent = `${all ? SIGNS.up : SIGNS.degraded} ${$("score").textContent}`;
  $("score").className = all ? "up" : "degraded";
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
