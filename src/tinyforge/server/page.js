"use strict";
const at = (id) => document.getElementById(id);
const tasks = {};
let running = null;

async function ask(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (at("key").value) headers.Authorization = "Bearer " + at("key").value;
  const options = body === undefined ? { headers } :
    { method: "POST", headers, body: JSON.stringify(body), signal: running.signal };
  const answer = await fetch(path, options);
  if (answer.status === 401) at("key-row").hidden = false;
  if (answer.ok) return answer;
  const wait = answer.headers.get("Retry-After");
  const found = await answer.json();
  throw new Error(found.error.message + (wait ? " (try again in " + wait + " s)" : ""));
}

async function listModels() {
  try {
    const found = await (await ask("v1/models")).json();
    for (const model of found.data) tasks[model.id] = model.task;
    at("model").replaceChildren(...found.data.map((m) => new Option(m.id + " (" + m.task + ")", m.id)));
    at("state").textContent = "";
  } catch (problem) {
    at("state").textContent = problem.message;
  }
  at("writing").hidden = !writes();
}

const writes = () => (tasks[at("model").value] || "classify") !== "classify";

function clear() {
  at("output").replaceChildren();
  at("about").textContent = "";
  at("refusal").hidden = at("scores").hidden = true;
}

function refuse(text, rule) {
  at("refusal").textContent = "Refused by a safeguard" + (rule ? " (" + rule + ")" : "") + (text ? ": " + text : "");
  at("refusal").hidden = false;
}

async function label() {
  const found = await (await ask("predict", { input: at("text").value, model: at("model").value, scores: true })).json();
  const safeguard = found.safeguard || {};
  if (safeguard.action === "refused") refuse(found.output, safeguard.rule);
  else at("output").textContent = found.output;
  const sure = found.confidence === null ? "" : "confidence " + found.confidence.toFixed(3) + ", ";
  const changed = safeguard.action === "changed" ? ", changed by the safeguard " + safeguard.rule : "";
  at("about").textContent = sure + "model " + found.model + ", version " + found.version + changed;
  const rows = Object.entries(found.scores || {}).sort((a, b) => b[1] - a[1]).slice(0, 10);
  at("scores").hidden = rows.length === 0;
  at("scores").tBodies[0].replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement("tr");
    row.insertCell().textContent = name;
    row.insertCell().textContent = value.toFixed(3);
    return row;
  }));
}

function show(text, logprobs) {
  const span = document.createElement("span");
  span.textContent = text;
  if (logprobs && logprobs.content.length) {
    const shares = logprobs.content.map((token) => Math.exp(token.logprob));
    const least = Math.min(...shares);
    span.className = "p" + (least < 0.1 ? 1 : least < 0.5 ? 2 : least < 0.9 ? 3 : 4);
    span.title = logprobs.content.map((token, i) => token.token + " " + (100 * shares[i]).toFixed(1) + " %").join("\n");
  }
  at("output").append(span);
}

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

async function write() {
  const body = {
    model: at("model").value, messages: [{ role: "user", content: at("text").value }],
    stream: true, stream_options: { include_usage: true }, temperature: Number(at("temperature").value),
  };
  if (at("most").value) body.max_tokens = Number(at("most").value);
  if (at("sure").checked) body.logprobs = true;
  const started = performance.now();
  let first = null, ended = null;
  for await (const event of events(await ask("v1/chat/completions", body))) {
    if (event.error) throw new Error(event.error.message);
    for (const choice of event.choices) {
      if (choice.delta.refusal) refuse(choice.delta.refusal);
      else if (choice.delta.content) {
        first = first || performance.now() - started;
        show(choice.delta.content, choice.logprobs);
      }
      ended = choice.finish_reason || ended;
    }
    if (event.usage) {
      const seconds = (performance.now() - started) / 1000;
      at("about").textContent = [
        event.usage.prompt_tokens + " tokens read, " + event.usage.completion_tokens + " written in " + seconds.toFixed(2) + " s",
        first === null ? "" : "the first after " + (first / 1000).toFixed(2) + " s",
        ended === "length" ? "cut off at the most tokens allowed" : "",
        "model " + event.model + ", version " + event.system_fingerprint,
      ].filter(Boolean).join("; ");
    }
  }
}

at("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (running) running.abort();
  running = new AbortController();
  clear();
  at("stop").hidden = false;
  at("state").textContent = "answering …";
  const mine = running;
  try {
    if (!at("model").value) await listModels();
    await (writes() ? write() : label());
    at("state").textContent = "";
  } catch (problem) {
    if (mine === running) at("state").textContent = problem.name === "AbortError" ? "stopped" : problem.message;
  }
  if (mine === running) at("stop").hidden = true;
});
at("stop").addEventListener("click", () => running && running.abort());
at("model").addEventListener("change", () => { at("writing").hidden = !writes(); });
at("key").addEventListener("change", listModels);
listModels();
