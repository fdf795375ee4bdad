// Deepgram's JavaScript SDK: stream a file of raw audio, print the finals and the close as one JSON object.
//
//   node javascript.mjs URL KEY FILE
import { readFileSync } from "node:fs";
import { DeepgramClient } from "@deepgram/sdk";

const [url, apiKey, file] = process.argv.slice(2);
const environment = { base: url.replace("ws", "http"), production: url, agent: url, agentRest: url };
const client = new DeepgramClient({ apiKey, environment });
const connection = await client.listen.v1.connect({
  model: "nova-3",
  encoding: "linear16",
  sample_rate: 16000,
  reconnectAttempts: 0,
});

const messages = [];
connection.on("message", (message) => messages.push(message));
const closed = new Promise((resolve) => connection.on("close", resolve));
connection.connect();
await connection.waitForOpen();
const audio = readFileSync(file);
for (let start = 0; start < audio.length; start += 6400) {
  connection.sendMedia(audio.subarray(start, start + 6400));
}
connection.sendCloseStream({ type: "CloseStream" });
const { code, reason } = await closed;
const finals = messages.filter((message) => message.is_final).map((one) => one.channel.alternatives[0].transcript);
const text = finals.filter((final) => final).join(" ");
console.log(JSON.stringify({ text, code, reason, last: messages.at(-1).type }));
process.exit(0);
