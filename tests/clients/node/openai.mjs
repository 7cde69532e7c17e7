// The official library: every endpoint, streams, tools, embeddings, errors, and how often it asks.
import OpenAI from "openai";

let asked = 0;
const client = new OpenAI({ fetch: (...args) => (asked++, fetch(...args)) });
const model = "simulator/echo";
const messages = [{ role: "user", content: "Hello there" }];
const gather = async (stream, text) => {
  let all = "";
  for await (const part of stream) all += text(part);
  return all;
};
const refused = async (call) => {
  asked = 0;
  try {
    await call();
  } catch (e) {
    return { kind: e.constructor.name, status: e.status, code: e.code, type: e.type,
      message: e.message, request: e.requestID, asked };
  }
};

const chat = { model, messages };
const out = {};
if (process.argv[2] === "refused") {
  out.chat = await refused(() => client.chat.completions.create(chat));
  out.stream = await refused(() => client.chat.completions.create({ ...chat, stream: true }));
  out.responses = await refused(() => client.responses.create({ model, input: "Hello" }));
  out.embeddings = await refused(() => client.embeddings.create({ model, input: "Hello" }));
} else {
  out.models = (await client.models.list()).data.map((each) => each.id);
  out.model = (await client.models.retrieve(model)).id;
  out.chat = (await client.chat.completions.create(chat)).choices[0].message.content;
  out.stream = await gather(
    await client.chat.completions.create({ ...chat, stream: true }),
    (chunk) => chunk.choices[0].delta.content ?? "",
  );
  const usage = [];
  const asks = { ...chat, stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await client.chat.completions.create(asks))
    if (chunk.usage) usage.push(chunk.usage.total_tokens);
  out.usage = usage;
  const helper = client.chat.completions.stream(chat);
  out.helper = (await helper.finalChatCompletion()).choices[0].message.content;
  const tools = [{ type: "function", function: { name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } } } } }];
  out.tool = (await client.chat.completions.create({ ...chat, tools }))
    .choices[0].message.tool_calls[0].function.name;
  out.response = (await client.responses.create({ model, input: "Hello there" })).output_text;
  out.responses = await gather(
    await client.responses.create({ model, input: "Hello there", stream: true }),
    (event) => (event.type === "response.output_text.delta" ? event.delta : ""),
  );
  out.completion = (await client.completions.create({ model, prompt: "Hello" })).choices[0].text;
  out.embedding = (await client.embeddings.create({ model, input: ["a", "b"] }))
    .data.map((each) => each.embedding.length);
  out.float = (await client.embeddings.create({ model, input: "a", encoding_format: "float" }))
    .data[0].embedding.length;
  out.broken = await refused(async () => {
    const broken = [{ role: "user", content: "[[sim cut_after=1]] one two three" }];
    await gather(
      await client.chat.completions.create({ ...chat, messages: broken, stream: true }),
      () => "",
    );
  });
  out.stored = await refused(() => client.responses.retrieve("resp_1"));
  out.key = await refused(() =>
    new OpenAI({ apiKey: "gw_live_wrong", fetch: (...a) => (asked++, fetch(...a)) }).models.list(),
  );
}
console.log(JSON.stringify(out));
