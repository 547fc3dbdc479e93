import ca.uhn.hl7v2.DefaultHapiContext;
import ca.uhn.hl7v2.HL7Exception;
import ca.uhn.hl7v2.Location;
import ca.uhn.hl7v2.model.Composite;
import ca.uhn.hl7v2.model.Message;
import ca.uhn.hl7v2.model.MessageVisitorSupport;
import ca.uhn.hl7v2.model.MessageVisitors;
import ca.uhn.hl7v2.model.Primitive;
import ca.uhn.hl7v2.model.Segment;
import ca.uhn.hl7v2.model.Type;
import ca.uhn.hl7v2.model.Varies;
import ca.uhn.hl7v2.parser.CanonicalModelClassFactory;
import ca.uhn.hl7v2.validation.builder.support.NoValidationBuilder;
import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads HL7 v2 messages with HAPI's PipeParser into the structures of 2.5.1, whatever version they name: stdin one JSON
 * string a line, stdout one reading a line, as tests/conformance/reading.py describes it. The argument says, as JSON,
 * which fields of which segments are wanted. Each message is parsed twice: by HAPI's default rules, which refuse what is
 * wrong but trim blanks around text, and without rules, to read what stands there.
 */
class ReadMessages {
    public static void main(String[] arguments) throws Exception {
        var json = new Gson();
        Map<String, List<Integer>> wanted = json.fromJson(arguments[0], new TypeToken<Map<String, List<Integer>>>() {});
        var judging = new DefaultHapiContext(new CanonicalModelClassFactory("2.5.1"));
        var reading = new DefaultHapiContext(new CanonicalModelClassFactory("2.5.1"));
        reading.setValidationRuleBuilder(new NoValidationBuilder());
        reading.getParserConfiguration().setValidating(false);
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var output = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String message = json.fromJson(line, String.class);
            judging.getPipeParser().parse(message);
            output.println(json.toJson(read(reading.getPipeParser().parse(message), wanted)));
        }
        output.flush();
    }

    private static List<Object> read(Message message, Map<String, List<Integer>> wanted) throws Exception {
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
