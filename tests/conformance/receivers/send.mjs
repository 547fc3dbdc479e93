// Sends HL7 v2 messages over MLLP with the client named in the first argument, as its documentation does; the second is
// the port. Read from stdin, a message a line as a JSON string; written to stdout, MSA-1 and MSA-2 of each answer.
import { createInterface } from "node:readline";

const [, , name, port] = process.argv;
const write = (value) => process.stdout.write(JSON.stringify(value) + "\n");

const CLIENTS = {
  "@medplum/hl7": async () => {
    // Loading the module needs the global WebSocket of Node 22, sending messages does not.
    globalThis.WebSocket ??= class {};
    const { Hl7Client } = await import("@medplum/hl7");
    const { Hl7Message } = await import("@medplum/core");
    const client = new Hl7Client({ host: "127.0.0.1", port: Number(port) });
    return {
      send: async (text) => {
        const answer = await client.sendAndWait(Hl7Message.parse(text));
        const msa = answer.getSegment("MSA");
        return [msa.getField(1).toString(), msa.getField(2).toString()];
      },
      close: () => client.close(),
    };
  },
  "simple-hl7": async () => {
    const { default: hl7 } = await import("simple-hl7");
    const client = hl7.Server.createTcpClient({ host: "127.0.0.1", port: Number(port), keepalive: true });
    const parser = new hl7.Parser();
    return {
      send: (text) =>
        new Promise((resolve, reject) =>
          client.send(parser.parse(text), (error, answer) => {
            if (error) return reject(error);
            const msa = answer.getSegment("MSA");
            resolve([msa.getField(1), msa.getField(2)]);
          }),
        ),
      close: () => client.close?.(),
    };
  },
};

const client = await CLIENTS[name]();
for await (const line of createInterface({ input: process.stdin })) {
  write(await client.send(JSON.parse(line)));
}
await client.close();
process.exit(0);
