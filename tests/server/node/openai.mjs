// openai-node: an answer, a stream, a tool, a parsed answer, embeddings, the Responses API.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });
const sum = [{ role: "user", content: "what is 3 plus 4?" }];
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the current weather in a given location.",
    parameters: {
      type: "object",
      properties: { location: { type: "string", description: "the city" } },
      required: ["location"],
    },
  },
};
const common = { model: "demo", temperature: 0 };

const whole = await client.chat.completions.create({ ...common, messages: sum });

let streamed = "";
let usage = null;
const stream = await client.chat.completions.create({
  ...common, messages: sum, stream: true, stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}

const calling = client.chat.completions.stream({
  ...common, messages: [{ role: "user", content: "what is the weather in Paris?" }], tools: [weather],
});
const call = (await calling.finalChatCompletion()).choices[0].message.tool_calls[0].function;

const Answer = z.object({ number: z.number().int().min(0).max(99), correct: z.boolean() });
const parsed = await client.chat.completions.parse({
  ...common, messages: sum, max_tokens: 100, response_format: zodResponseFormat(Answer, "answer"),
});

const embedded = await client.embeddings.create({ model: "demo", input: ["one", "two"] });
const response = await client.responses.create({ ...common, input: "what is 3 plus 4?" });

let missing = null;
try {
  await client.chat.completions.create({ model: "nobody", messages: sum });
} catch (error) {
  missing = { status: error.status, code: error.code };
}

const early = await client.chat.completions.create({
  ...common, messages: sum, stream: true, ignore_eos: true, max_tokens: 4000,
});
for await (const chunk of early) break; // the client leaves

console.log(JSON.stringify({
  whole: whole.choices[0].message.content,
  streamed,
  usage,
  call: { name: call.name, arguments: JSON.parse(call.arguments) },
  parsed: parsed.choices[0].message.parsed,
  dimensions: embedded.data.map((entry) => entry.embedding.length),
  response: response.output_text,
  missing,
}));
