import io.github.linuxforhealth.hl7.ConverterOptions;
import io.github.linuxforhealth.hl7.HL7ToFHIRConverter;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.hl7.fhir.r4.model.Bundle.BundleType;

/** Converts HL7 v2 messages to FHIR Bundles: stdin one JSON string a line, stdout one Bundle a line. */
class ConvertMessages {
    public static void main(String[] arguments) throws Exception {
        var json = new ObjectMapper();
        var output = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err); // the converter's libraries log to stdout
        var converter = new HL7ToFHIRConverter();
        var options = new ConverterOptions.Builder().withBundleType(BundleType.COLLECTION).build();
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            output.println(converter.convert(json.readValue(line, String.class), options).replace("\n", " "));
        }
        output.flush();
    }
}
