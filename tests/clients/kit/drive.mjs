// Drives one of the clients of JavaScript programs: arguments base and client; stdin one call a line as
// [what, ...arguments], stdout its {value} or {error} a line. ACCESS_TOKEN in the environment is the client's token.
import { createInterface } from "node:readline";
import smart from "fhirclient";
import { Client } from "fhir-kit-client";

const [base, chosen] = process.argv.slice(2);
const token = process.env.ACCESS_TOKEN;

// [["date", "ge2020"], ["date", "lt2021"]] -> {date: ["ge2020", "lt2021"]}
function searchParams(pairs) {
  const found = {};
  for (const [name, value] of pairs) (found[name] ??= []).push(value);
  return found;
}

const query = (pairs) => new URLSearchParams(pairs).toString();

function reference(text) {
  const [resourceType, id] = text.split("/");
  return { resourceType, id };
}

const base64 = async (blob) => Buffer.from(await blob.arrayBuffer()).toString("base64");

function fhirKitClient() {
  const client = new Client({ baseUrl: base, ...(token && { bearerToken: token }) });

  async function pages(bundle, follow) {
    const found = [];
    for (let page = bundle; page; page = await follow.call(client, { bundle: page })) found.push(page);
    return found;
  }

  const search = (resourceType, pairs, options) =>
    client.search({ resourceType, searchParams: searchParams(pairs), options });

  return {
    capability: () => client.capabilityStatement(),
    page: search,
    pages: async (...given) => pages(await search(...given), client.nextPage),
    // It has no view of its own: programs take the resources of all entries
    find: async (...given) =>
      (await pages(await search(...given), client.nextPage)).flatMap((page) =>
        (page.entry ?? []).map((entry) => entry.resource),
      ),
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
    refusal: (error) => [error.constructor.name, error.response?.data],
  };
}

function smartClient() {
  const kept = new Map();
  const storage = {
    get: async (key) => kept.get(key),
    set: async (key, value) => kept.set(key, value),
    unset: async (key) => kept.delete(key),
  };
  const at = (url) => smart({ url, headers: { host: "127.0.0.1" }, socket: {} }, {}, storage);
  let client = at("/").client({ serverUrl: base, ...(token && { tokenResponse: { access_token: token } }) });
  const all = { pageLimit: 0, flat: true };

  return {
    // The address at which its user logs in, and the end of the login at the address that this leads back to
    authorize: (options) => at("/").authorize({ ...options, iss: base, noRedirect: true }),
    ready: async (url) => {
      client = await at(url).ready();
      return client.state.tokenResponse.scope;
    },
    capability: () => client.request("metadata"),
    page: (kind, pairs) => client.request(`${kind}?${query(pairs)}`),
    find: (kind, pairs) => client.request(`${kind}?${query(pairs)}`, all),
    // With what the reports refer to put in the place of the references
    resolved: (kind, pairs, references) =>
      client.request(`${kind}?${query(pairs)}`, { ...all, resolveReferences: references }),
    read: (text) => client.request(text),
    vread: (text, version) => client.request(`${text}/_history/${version}`),
    get: (path) => client.request(path),
    post: (path, body) =>
      client.request({
        url: path,
        method: "POST",
        body: JSON.stringify(body),
        headers: { "content-type": "application/fhir+json" },
      }),
    // A text comes as a string, anything else as the response
    bytes: async (url, accept) => {
      const found = await client.request({ url, headers: { accept } });
      return typeof found === "string" ? Buffer.from(found).toString("base64") : base64(await found.blob());
    },
    // It puts the body into the message, behind an empty line
    refusal: (error) => [error.name, error.response && JSON.parse(error.message.split("\n\n")[1])],
  };
}

async function medplum() {
  globalThis.WebSocket ??= class {}; // it asks for one when it is loaded; Node.js has none before release 22
  const { MedplumClient, OperationOutcomeError } = await import("@medplum/core");
  const { origin, pathname } = new URL(base);
  const client = new MedplumClient({ baseUrl: `${origin}/`, fhirUrlPath: pathname.slice(1), cacheTime: 0, fetch });

  return {
    capability: () => client.get(client.fhirUrl("metadata")),
    page: (kind, pairs) => client.search(kind, new URLSearchParams(pairs)),
    find: async (kind, pairs) => {
      const found = [];
      for await (const page of client.searchResourcePages(kind, new URLSearchParams(pairs))) found.push(...page);
      return found;
    },
    read: (text) => client.readReference({ reference: text }),
    vread: (text, version) => client.readVersion(...text.split("/"), version),
    get: (path) => client.get(client.fhirUrl(...path.split("/"))),
    post: (path, body) => client.post(client.fhirUrl(...path.split("/")), body),
    bytes: async (url, accept) => base64(await client.download(client.fhirUrl(...url.split("/")), { headers: { accept } })),
    // In the browser's way of saying that nothing kept will do
    reloaded: (kind, pairs) => client.searchResources(kind, new URLSearchParams(pairs), { cache: "reload" }),
    refusal: (error) => [error instanceof OperationOutcomeError ? "OperationOutcomeError" : error.name, error.outcome],
  };
}

const does = await { "fhir-kit-client": fhirKitClient, "fhirclient-js": smartClient, medplum }[chosen]();

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const [what, ...given] = JSON.parse(line);
  let answer;
  try {
    answer = { value: await does[what](...given) };
  } catch (error) {
    const [name, outcome] = await does.refusal(error);
    answer = { error: name, message: error.message, outcome, status: error.response?.status };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
