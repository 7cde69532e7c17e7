// The official client for Node: npm install openai
// It reads OPENAI_BASE_URL (http://localhost:8787/v1) and OPENAI_API_KEY (gw_live_…) by itself.
import OpenAI from "openai";

const client = new OpenAI();
const model = process.env.MODEL ?? "simulator/echo";

const answer = await client.responses.create({ model, input: "Hello there" });
console.log(answer.output_text);

const stream = await client.chat.completions.create({
  model,
  messages: [{ role: "user", content: "Hello there" }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0].delta.content ?? "");
console.log();
