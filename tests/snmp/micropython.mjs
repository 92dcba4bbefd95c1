// Runs MicroPython's WebAssembly build like `micropython main.py` in a folder, for systems that do not package
// MicroPython.
// node micropython.mjs <module> <folder>
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [module, folder] = process.argv.slice(2);
const { loadMicroPython } = await import(pathToFileURL(module));
const python = await loadMicroPython({ stdout: (line) => console.log(line), linebuffer: true });
for (const name of readdirSync(folder)) {
  python.FS.writeFile(name, readFileSync(join(folder, name)));
}
python.runPython(readFileSync(join(folder, "main.py"), "utf8"));
