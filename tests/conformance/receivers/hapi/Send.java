import ca.uhn.hl7v2.DefaultHapiContext;
import ca.uhn.hl7v2.app.Connection;
import ca.uhn.hl7v2.model.Message;
import ca.uhn.hl7v2.util.Terser;
import com.google.gson.Gson;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Sends HL7 v2 messages over MLLP with HAPI's client and its rules as they come. Argument: the port. Read from stdin, a
 * message a line as a JSON string; written to stdout, MSA-1 and MSA-2 of each answer.
 */
class Send {
    public static void main(String[] arguments) throws Exception {
        var json = new Gson();
        var output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var context = new DefaultHapiContext();
        Connection connection = context.newClient("127.0.0.1", Integer.parseInt(arguments[0]), false);
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            Message message = context.getPipeParser().parse(json.fromJson(line, String.class));
            var answer = new Terser(connection.getInitiator().sendAndReceive(message));
            output.println(json.toJson(List.of(answer.get("/MSA-1"), answer.get("/MSA-2"))));
        }
        connection.close();
        context.close();
        System.exit(0);
    }
}
