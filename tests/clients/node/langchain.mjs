// LangChain for JavaScript.
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";

let asked = 0;
const configuration = { fetch: (...args) => (asked++, fetch(...args)) };
const chat = new ChatOpenAI({ model: "simulator/echo", configuration });
const out = {};
if (process.argv[2] === "refused") {
  try {
    await chat.invoke("Hello there");
  } catch (e) {
    out.chat = { code: e.code, message: e.message, asked };
  }
} else {
  out.chat = (await chat.invoke("Hello there")).content;
  out.stream = "";
  for await (const chunk of await chat.stream("Hello there")) out.stream += chunk.content;
  const tool = { type: "function", function: { name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } } } } };
  out.tool = (await chat.bindTools([tool]).invoke("Hello")).tool_calls[0].name;
  const responses = new ChatOpenAI({ model: "simulator/echo", useResponsesApi: true, configuration });
  out.responses = (await responses.invoke("Hello there")).text;
  const embeddings = new OpenAIEmbeddings({ model: "simulator/echo", configuration });
  out.embeddings = (await embeddings.embedDocuments(["a", "b"])).map((each) => each.length);
}
console.log(JSON.stringify(out));
