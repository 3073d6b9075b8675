// Asks through the address given, with JavaScript's own client, and prints what it got as JSON.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const { address, messages, input } = JSON.parse(readFileSync(0, "utf8"));
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "secret-key", maxRetries: 0 });
const chat = { model: "m", messages };

const completion = await client.chat.completions.create(chat);
const { response } = await client.chat.completions.create(chat).withResponse();
let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...chat, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}
const answer = await client.responses.create({ model: "m", input });
const status = await client.chat.completions
  .create({ model: "refused", messages })
  .then(() => 200, (error) => error.status);
console.log(
  JSON.stringify({
    content: completion.choices[0].message.content,
    crops: response.headers.get("x-cropzoom-crops"),
    streamed,
    text: answer.output_text,
    status,
  }),
);
