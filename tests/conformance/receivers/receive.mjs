// Receives HL7 v2 messages over MLLP with the server named in the first argument, as its documentation starts it, and
// acknowledges each by what the server makes for that. Further arguments: port, settings (none here), and the
// fields that are wanted, as tests/conformance/receivers/servers.py gives them. Written to stdout, a JSON value a line: that it listens,
// then MSH-10 and the reading of each message, before it is acknowledged.
const [, , name, port, , wanted] = process.argv;
const WANTED = JSON.parse(wanted);
const write = (value) => process.stdout.write(JSON.stringify(value) + "\n");

const SERVERS = {
  "@medplum/hl7": async () => {
    // Loading the module needs the global WebSocket of Node 22, receiving messages does not.
    globalThis.WebSocket ??= class {};
    const { Hl7Server } = await import("@medplum/hl7");
    const server = new Hl7Server((connection) => {
      connection.addEventListener("message", ({ message }) => {
        const rows = message.segments.map((segment) => [
          segment.name,
          (number) => {
            const field = segment.getField(number);
            return field?.components.map((repetition, index) =>
              repetition.map((_, component) => subcomponents(field, component + 1, index)),
            );
          },
        ]);
        note(message.header.getField(10).toString(), rows);
        connection.send(message.buildAck());
      });
    });
    await server.start(Number(port));
  },
  "simple-hl7": async () => {
    const { default: hl7 } = await import("simple-hl7");
    const app = hl7.tcp();
    app.use((request, response, next) => {
      const { header, segments } = request.msg;
      const rows = segments.map((segment) => [segment.name, (number) => values(segment.fields[number - 1])]);
      note(header.getField(8), [["MSH", (number) => values(header.fields[number - 3])], ...rows]);
      next();
    });
    app.use((request, response) => response.end());
    const { server } = app.start(Number(port));
    await new Promise((resolve) => server.once("listening", resolve));
  },
};

function note(controlId, rows) {
  const reading = rows
    .filter(([segment]) => segment in WANTED)
    .map(([segment, field]) => [segment, Object.fromEntries(WANTED[segment].map((n) => [n, field(n) ?? []]))]);
  write({ control_id: controlId, reading });
}

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

await SERVERS[name]();
write({ listening: Number(port) });
