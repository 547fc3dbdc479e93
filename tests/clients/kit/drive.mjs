// Drives fhir-kit-client: stdin one call a line as [what, ...arguments], stdout its {value} or {error} a line.
import { createInterface } from "node:readline";
import { Client } from "fhir-kit-client";

const client = new Client({ baseUrl: process.argv[2] });

// [["date", "ge2020"], ["date", "lt2021"]] -> {date: ["ge2020", "lt2021"]}
function searchParams(pairs) {
  const found = {};
  for (const [name, value] of pairs) (found[name] ??= []).push(value);
  return found;
}

function reference(text) {
  const [resourceType, id] = text.split("/");
  return { resourceType, id };
}

async function pages(bundle, follow) {
  const found = [];
  for (let page = bundle; page; page = await follow.call(client, { bundle: page })) found.push(page);
  return found;
}

const DOES = {
  capability: () => client.capabilityStatement(),
  page: (resourceType, pairs) => client.search({ resourceType, searchParams: searchParams(pairs) }),
  pages: async (resourceType, pairs, options) =>
    pages(await client.search({ resourceType, searchParams: searchParams(pairs), options }), client.nextPage),
  backwards: (bundle) => pages(bundle, client.prevPage),
  read: (text) => client.read(reference(text)),
  vread: (text, version) => client.vread({ ...reference(text), version }),
  resolve: (text, context) => client.resolve({ reference: text, context }),
  get: (path) => client.request(path),
  post: (path, body) => client.httpClient.post(path, body),
  bytes: (path, accept) => client.request(path, { options: { headers: { accept } } }),
  smart: () => client.smartAuthMetadata(),
  batch: (body) => client.batch({ body }),
  operation: (name, resourceType, id, method) => client.operation({ name, resourceType, id, method }),
  header: async (text, name) => Client.httpFor(await client.read(reference(text))).response.headers.get(name),
};

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const [what, ...given] = JSON.parse(line);
  let answer;
  try {
    answer = { value: await DOES[what](...given) };
  } catch (error) {
    answer = { error: error.constructor.name, message: error.message, response: error.response };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
