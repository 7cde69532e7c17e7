// The Vercel AI SDK: its default is the Responses API; its chat and embeddings as well.
import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

globalThis.AI_SDK_LOG_WARNINGS = false;
let asked = 0;
const openai = createOpenAI({
  baseURL: process.env.OPENAI_BASE_URL,
  fetch: (...args) => (asked++, fetch(...args)),
});
const prompt = "Hello there";
const models = { responses: openai("simulator/echo"), chat: openai.chat("simulator/echo") };
const out = {};
for (const [name, model] of Object.entries(models)) {
  if (process.argv[2] === "refused") {
    asked = 0;
    try {
      await generateText({ model, prompt, maxRetries: Number(process.argv[3]) });
    } catch (e) {
      const last = e.lastError ?? e;
      out[name] = { status: last.statusCode, code: last.data?.error?.code, asked };
    }
    continue;
  }
  const whole = await generateText({ model, prompt });
  const stream = streamText({ model, prompt });
  let text = "";
  for await (const part of stream.textStream) text += part;
  const weather = tool({
    description: "The weather",
    inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } } }),
    execute: async () => "sunny",
  });
  const steps = await generateText({
    model, prompt, tools: { weather }, stopWhen: stepCountIs(3),
    providerOptions: { openai: { store: false } },
  });
  out[name] = {
    whole: whole.text, stream: text,
    usage: [whole.usage.outputTokens, (await stream.usage).outputTokens],
    tools: steps.steps.flatMap((step) => step.toolCalls.map((call) => call.toolName)),
    steps: steps.steps.length,
  };
}
if (process.argv[2] !== "refused") {
  const model = openai.embedding("simulator/echo");
  out.embeddings = (await embedMany({ model, values: ["a", "b"] })).embeddings.map((e) => e.length);
}
console.log(JSON.stringify(out));
