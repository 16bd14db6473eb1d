// LangChain.js through @langchain/openai: an answer, a stream, a tool, a structured answer.
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { z } from "zod";

const configuration = { baseURL: `${process.argv[2]}/v1` };
const common = { model: "demo", temperature: 0, apiKey: "none", configuration };
const chat = new ChatOpenAI(common);
const sum = "what is 3 plus 4?";

const whole = await chat.invoke(sum);
let streamed = "";
for await (const chunk of await chat.stream(sum)) streamed += chunk.content;

const weather = tool(({ location }) => `It is sunny in ${location}.`, {
  name: "get_weather",
  description: "Get the current weather in a given location.",
  schema: z.object({ location: z.string().describe("the city") }),
});
const question = new HumanMessage("what is the weather in Paris?");
const bound = chat.bindTools([weather]);
const answer = await bound.invoke([question]);
const result = await weather.invoke(answer.tool_calls[0]);
const final = await bound.invoke([question, answer, result]);

const Answer = z.object({ number: z.number().int().min(0).max(99), correct: z.boolean() });
const structured = await chat.withStructuredOutput(Answer, { name: "answer" }).invoke(sum);

const embeddings = new OpenAIEmbeddings({ model: "demo", apiKey: "none", configuration });
const vectors = await embeddings.embedDocuments(["one", "two"]);

console.log(JSON.stringify({
  whole: whole.content,
  streamed,
  calls: answer.tool_calls.map(({ name, args }) => ({ name, args })),
  final: final.content,
  structured,
  dimensions: vectors.map((vector) => vector.length),
}));
