import ca.uhn.hl7v2.DefaultHapiContext;
import ca.uhn.hl7v2.HL7Exception;
import ca.uhn.hl7v2.Location;
import ca.uhn.hl7v2.app.HL7Service;
import ca.uhn.hl7v2.llp.MinLowerLayerProtocol;
import ca.uhn.hl7v2.model.Composite;
import ca.uhn.hl7v2.model.Message;
import ca.uhn.hl7v2.model.MessageVisitorSupport;
import ca.uhn.hl7v2.model.MessageVisitors;
import ca.uhn.hl7v2.model.Primitive;
import ca.uhn.hl7v2.model.Segment;
import ca.uhn.hl7v2.model.Type;
import ca.uhn.hl7v2.model.Varies;
import ca.uhn.hl7v2.protocol.ReceivingApplication;
import ca.uhn.hl7v2.protocol.ReceivingApplicationException;
import ca.uhn.hl7v2.util.Terser;
import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Receives HL7 v2 messages over MLLP with HAPI's HL7Service and its rules as they come, and acknowledges each by
 * Message.generateACK. Arguments: port, settings, and the fields that are wanted, as
 * tests/conformance/receivers/servers.py gives them. Written to stdout, a JSON value a line: that it listens, then
 * MSH-10 and the reading of each message, before it is acknowledged.
 */
class Receive {
    private static final Gson JSON = new Gson();
    private static final PrintStream OUTPUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    public static void main(String[] arguments) throws Exception {
        Map<String, Boolean> settings = JSON.fromJson(arguments[1], new TypeToken<Map<String, Boolean>>() {});
        Map<String, List<Integer>> wanted = JSON.fromJson(arguments[2], new TypeToken<Map<String, List<Integer>>>() {});
        var context = new DefaultHapiContext();
        if (settings.getOrDefault("respectMSH18", false)) {
            context.setLowerLayerProtocol(new MinLowerLayerProtocol(true));
        }
        HL7Service server = context.newServer(Integer.parseInt(arguments[0]), false);
        server.registerApplication("ORU", "R01", new Application(wanted));
        server.startAndWait();
        OUTPUT.println(JSON.toJson(Map.of("listening", Integer.parseInt(arguments[0]))));
    }

    private static class Application implements ReceivingApplication<Message> {
        private final Map<String, List<Integer>> wanted;

        Application(Map<String, List<Integer>> wanted) {
            this.wanted = wanted;
        }

        @Override
        public boolean canProcess(Message message) {
            return true;
        }

        @Override
        public Message processMessage(Message message, Map<String, Object> metadata)
                throws ReceivingApplicationException, HL7Exception {
            Object controlId = new Terser(message).get("/MSH-10");
            OUTPUT.println(JSON.toJson(Map.of("control_id", controlId, "reading", read(message, wanted))));
            try {
                return message.generateACK();
            } catch (IOException error) {
                throw new HL7Exception(error);
            }
        }
    }

    private static List<Object> read(Message message, Map<String, List<Integer>> wanted) throws HL7Exception {
        var rows = new ArrayList<Object>();
        message.accept(MessageVisitors.visitPopulatedElements(new MessageVisitorSupport() {
            @Override
            public boolean start(Segment segment, Location location) throws HL7Exception {
                if (wanted.containsKey(segment.getName())) {
                    var fields = new LinkedHashMap<String, Object>();
                    for (int number : wanted.get(segment.getName())) {
                        fields.put(String.valueOf(number), repetitions(segment.getField(number)));
                    }
                    rows.add(List.of(segment.getName(), fields));
                }
                return false;
            }
        }), Location.UNKNOWN);
        return rows;
    }

    private static List<Object> repetitions(Type[] field) {
        var found = new ArrayList<Object>();
        for (Type repetition : field) {
            var components = new ArrayList<Object>();
            for (Type component : parts(repetition)) {
                var leaves = new ArrayList<String>();
                for (Type leaf : parts(component)) {
                    leaves.add(text(leaf));
                }
                components.add(leaves);
            }
            found.add(components);
        }
        return found;
    }

    private static List<Type> parts(Type type) {
        Type data = type instanceof Varies ? ((Varies) type).getData() : type;
        return data instanceof Composite ? List.of(((Composite) data).getComponents()) : List.of(data);
    }

    private static String text(Type leaf) {
        Type data = leaf instanceof Varies ? ((Varies) leaf).getData() : leaf;
        String value = data instanceof Primitive ? ((Primitive) data).getValue() : null;
        return value == null ? "" : value;
    }
}
