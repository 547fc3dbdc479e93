// Reads HL7 v2 messages with the parser named in the arguments: stdin one JSON string a line, stdout one reading a line.
// A reading is a list of [segment, {field number: [repetition][component][subcomponent]}], as tests/conformance/reading.py
// describes it. Leaves are what the parser gives for them.
import { createInterface } from "node:readline";

const WANTED = JSON.parse(process.argv[3]);

const PARSERS = {
  // Loading the module needs the global WebSocket of Node 22, reading messages does not.
  "@medplum/core": async () => {
    globalThis.WebSocket ??= class {};
    const { Hl7Message } = await import("@medplum/core");
    return (text) =>
      Hl7Message.parse(text).segments.map((segment) => [
        segment.name,
        (number) => {
          const field = segment.getField(number);
          return field?.components.map((repetition, index) =>
            repetition.map((_, component) => subcomponents(field, component + 1, index)),
          );
        },
      ]);
  },
  "simple-hl7": async () => {
    const { default: hl7 } = await import("simple-hl7");
    return (text) => {
      const message = new hl7.Parser({ segmentSeperator: "\r" }).parse(text);
      const rows = message.segments.map((segment) => [segment.name, (number) => values(segment.fields[number - 1])]);
      return [["MSH", (number) => values(message.header.fields[number - 3])], ...rows];
    };
  },
};

// Medplum: getComponent(component, subcomponent, repetition), the first from 1, the others from 0.
function subcomponents(field, component, repetition) {
  const found = [];
  for (let number = 0; ; number++) {
    const text = field.getComponent(component, number, repetition);
    if (text === undefined || (text === "" && number > 0)) return found.length ? found : [""];
    found.push(text);
  }
}

// simple-hl7: field.value holds the components of the only repetition, or a field for each repetition.
function values(field) {
  if (field === undefined) return undefined;
  return field.value.flatMap((one) => (Array.isArray(one) ? [one.map((component) => component.value.flat())] : values(one)));
}

const read = await PARSERS[process.argv[2]]();
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const rows = read(JSON.parse(line))
    .filter(([name]) => name in WANTED)
    .map(([name, field]) => [name, Object.fromEntries(WANTED[name].map((number) => [number, field(number) ?? []]))]);
  process.stdout.write(JSON.stringify(rows) + "\n");
}
