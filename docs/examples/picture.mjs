// Logs in, runs prompt.json, follows it and saves its pictures. See docs/client-guide.md.
//
//     GATEWAY_PASSWORD=… node picture.mjs http://127.0.0.1:8000 USER
//
// Needs Node 22 or newer and no packages. With GATEWAY_TOKEN=mss_… no user and password. Where a
// second factor is due, GATEWAY_CODE is its code.

import { readFile, writeFile } from "node:fs/promises";

const { GATEWAY_TOKEN, GATEWAY_PASSWORD, GATEWAY_CODE } = process.env;
const LOGGED_OUT = 4401;
const ENDS = ["execution_success", "execution_error", "execution_interrupted"];

class Refused extends Error {
  constructor(status, body) {
    // A prompt that ComfyUI itself refuses comes with its own shape: `error` is an object.
    const fault = body.error ?? `status ${status}`;
    const code = body.code ?? fault.type;
    super(`${fault.message ?? fault} (${code})`);
    Object.assign(this, { status, code });
  }
}

class Gateway {
  constructor(url, token) {
    this.url = url.replace(/\/$/, "");
    this.token = token;
  }

  async ask(path, options = {}) {
    const headers = { ...options.headers };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    const answer = await fetch(this.url + path, { ...options, headers });
    if (answer.ok) return answer;
    const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
    throw new Refused(answer.status, isJson ? await answer.json() : { code: "OTHER" });
  }

  async post(path, body) {
    const headers = { "Content-Type": "application/json" };
    const answer = await this.ask(path, { method: "POST", headers, body: JSON.stringify(body) });
    return answer.json();
  }

  async get(path) {
    return (await this.ask(path)).json();
  }

  // An API token for the password. Keep it; throw the password away.
  async logIn(username, password) {
    const path = "/mss-login/generate_token";
    let made = await this.post(path, { username, password, label: "picture.mjs" });
    if (made.mfa_setup_required) throw new Error("Set up your second factor first: /account");
    if (made.mfa_required) {
      const kind = GATEWAY_CODE?.includes("-") ? "backup_code" : "code";
      made = await this.post(path, { mfa_temp_token: made.mfa_temp_token, [kind]: GATEWAY_CODE });
    }
    this.token = made.token;
  }

  // Run a prompt to its end; the files that it made.
  async run(prompt) {
    const client_id = crypto.randomUUID();
    const query = new URLSearchParams({ clientId: client_id, token: this.token });
    // First the socket, so that nothing is missed, then the prompt.
    const socket = new WebSocket(`${this.url.replace("http", "ws")}/ws?${query}`);
    await new Promise((opened, failed) => {
      socket.onopen = opened;
      socket.onerror = () => failed(new Error("The socket was refused."));
    });
    try {
      return await this.filesOf(await this.follow(socket, { prompt, client_id }));
    } finally {
      socket.close();
    }
  }

  // Send the prompt, and print what happens until it has ended. Its id.
  async follow(socket, body) {
    const early = [];
    socket.onmessage = ({ data }) => early.push(data);
    const { prompt_id } = await this.post("/prompt", body);
    await new Promise((ended, failed) => {
      const hear = (data) => {
        if (typeof data !== "string") return; // a preview picture
        const event = JSON.parse(data);
        if (event.data.prompt_id !== prompt_id) return;
        if (event.type === "progress") console.log(`${event.data.value} of ${event.data.max}`);
        if (event.type === "executing" && event.data.node) console.log(`Node ${event.data.node}`);
        if (ENDS.includes(event.type)) ended();
      };
      socket.onmessage = ({ data }) => hear(data);
      // Otherwise lost: the result is asked for below.
      socket.onclose = ({ code }) =>
        code === LOGGED_OUT ? failed(new Error("The token ended meanwhile.")) : ended();
      early.forEach(hear);
      if (socket.readyState > WebSocket.OPEN) ended(); // closed while the prompt was sent
    });
    return prompt_id;
  }

  async filesOf(promptId) {
    let entry;
    while (!(entry = (await this.get(`/history/${promptId}`))[promptId]))
      await new Promise((later) => setTimeout(later, 1000));
    if (entry.status.status_str !== "success") throw new Error("The prompt failed.");
    return Object.values(entry.outputs).flatMap((output) => output.images ?? []);
  }

  async save(file) {
    // filename, subfolder and type are sent back as they came.
    const answer = await this.ask(`/view?${new URLSearchParams(file)}`);
    await writeFile(file.filename, Buffer.from(await answer.arrayBuffer()));
    console.log(`Saved ${file.filename}`);
  }
}

const [url, username] = process.argv.slice(2);
try {
  const gateway = new Gateway(url, GATEWAY_TOKEN);
  if (username) await gateway.logIn(username, GATEWAY_PASSWORD);
  const me = await gateway.get("/mss-login/api/me");
  console.log(`You are ${me.username} (${me.role}).`);
  const prompt = JSON.parse(await readFile(new URL("prompt.json", import.meta.url)));
  for (const file of await gateway.run(prompt)) await gateway.save(file);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
