// Runs graphs in ONNX Runtime Web's WebAssembly build and writes what they answer.
//
// node onnx_web.mjs PACKAGES REQUEST: PACKAGES is the folder of node_modules, REQUEST a JSON file
//   {graph, data, runs: [{feeds: {name: {type, dims, file}}}], answers}
// where `data` is null or the name of the external weights beside the graph, a `file` holds an
// array's bytes, and `answers` is a folder for the outputs' bytes and for answers.json.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const [packages, request] = process.argv.slice(2);
const ort = createRequire(path.join(packages, "index.js"))("onnxruntime-web");
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

const kinds = {
  float32: Float32Array,
  int64: BigInt64Array,
  int32: Int32Array,
  bool: Uint8Array,
};

function tensor({ type, dims, file }) {
  const bytes = fs.readFileSync(file);
  const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return new ort.Tensor(type, new kinds[type](copy), dims);
}

const asked = JSON.parse(fs.readFileSync(request, "utf8"));
const options = { executionProviders: ["wasm"] };
if (asked.data !== null) {
  const file = path.join(path.dirname(asked.graph), asked.data);
  options.externalData = [{ path: asked.data, data: fs.readFileSync(file) }];
}
const session = await ort.InferenceSession.create(fs.readFileSync(asked.graph), options);
const told = [];
for (const [number, run] of asked.runs.entries()) {
  const feeds = Object.fromEntries(
    Object.entries(run.feeds).map(([name, value]) => [name, tensor(value)]),
  );
  const outputs = await session.run(feeds);
  const found = {};
  for (const [place, name] of session.outputNames.entries()) {
    const file = path.join(asked.answers, `${number}-${place}.bin`);
    const { data, type, dims } = outputs[name];
    fs.writeFileSync(file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    found[name] = { type, dims, file };
  }
  told.push(found);
}
fs.writeFileSync(path.join(asked.answers, "answers.json"), JSON.stringify(told));
