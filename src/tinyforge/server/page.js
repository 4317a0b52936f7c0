"use strict";
const at = (id) => document.getElementById(id);

async function call(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (at("key").value) headers.Authorization = "Bearer " + at("key").value;
  const answer = await fetch(path, body === undefined ? { headers } :
    { method: "POST", headers, body: JSON.stringify(body) });
  if (answer.status === 401) at("key-row").hidden = false;
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error.message);
  return found;
}

async function listModels() {
  try {
    const found = await call("v1/models");
    at("model").replaceChildren(...found.data.map((m) => new Option(m.id + " (" + m.task + ")", m.id)));
  } catch (problem) {
    at("state").textContent = problem.message;
  }
}

function show(found) {
  at("output").textContent = found.output;
  const sure = found.confidence === null ? "" : "confidence " + found.confidence.toFixed(3) + ", ";
  at("about").textContent = sure + "model " + found.model + ", version " + found.version;
  const rows = Object.entries(found.scores || {}).sort((a, b) => b[1] - a[1]).slice(0, 10);
  at("scores").hidden = rows.length === 0;
  at("scores").tBodies[0].replaceChildren(...rows.map(([label, value]) => {
    const row = document.createElement("tr");
    row.insertCell().textContent = label;
    row.insertCell().textContent = value.toFixed(3);
    return row;
  }));
}

at("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("state").textContent = "answering …";
  try {
    if (!at("model").value) await listModels();
    show(await call("predict", { input: at("text").value, model: at("model").value || null, scores: true }));
    at("state").textContent = "";
  } catch (problem) {
    at("state").textContent = problem.message;
  }
});
at("key").addEventListener("change", listModels);
listModels();
