import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.ValidationSupportContext;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.r4.model.StructureDefinition;

/**
 * Snapshots of StructureDefinitions over R4 4.0.1, made by HL7's generator.
 *
 * <p>Stdin one JSON string a line, the text of a StructureDefinition; stdout one JSON string a line, the same with its
 * snapshot.
 */
class MakeSnapshots {
    public static void main(String[] none) throws IOException {
        var json = new ObjectMapper();
        var context = FhirContext.forR4Cached();
        var snapshots = new SnapshotGeneratingValidationSupport(context);
        var chain = new ValidationSupportChain(new DefaultProfileValidationSupport(context), snapshots);
        var output = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (var line : new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).lines().toList()) {
            var given = context.newJsonParser().parseResource(StructureDefinition.class, json.readValue(line, String.class));
            var made = snapshots.generateSnapshot(
                    new ValidationSupportContext(chain), given, given.getUrl(), null, given.getName());
            output.println(json.writeValueAsString(context.newJsonParser().encodeResourceToString(made)));
        }
        output.flush();
    }
}
