import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport.IssueSeverity;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.Bundle.BundleType;
import org.hl7.fhir.r4.model.CodeSystem;
import org.hl7.fhir.r4.model.CodeSystem.CodeSystemContentMode;
import org.hl7.fhir.r4.model.Enumerations.PublicationStatus;
import org.hl7.fhir.r4.model.StructureDefinition;
import org.hl7.fhir.r4.model.ValueSet;
import org.hl7.fhir.r4.model.ValueSet.ConceptSetComponent;
import org.hl7.fhir.utilities.npm.NpmPackage;

/**
 * HL7's validator over FHIR R4 resources; the arguments are packages (.tgz): our own, then those of profiles.
 *
 * <p>Stdin one JSON string a line, the text of a resource; stdout one JSON array a line, its errors and warnings. Each is
 * held against R4 4.0.1 and what it claims in meta.profile, once with each package of profiles and our own; an
 * extension that none of them defines is an error. What only a terminology server could
 * tell (SNOMED CT, most of LOINC, value sets of VSAC) is a warning: counted, not lost.
 */
class ValidateLines {
    static final String LOINC = "http://loinc.org";
    static final Pattern MULTIPLE_MATCHES = Pattern.compile("Multiple matches in bundle for reference (\\S+)");

    public static void main(String[] packages) throws IOException {
        var json = new ObjectMapper();
        var validators = new LinkedHashMap<String, FhirValidator>();
        for (var path : List.of(packages).subList(1, packages.length)) {
            validators.put(path, validator(FhirContext.forR4Cached(), path, packages[0]));
        }
        var output = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).lines().toList().parallelStream()
                .map(line -> json.valueToTree(findings(validators, text(json, line))).toString())
                .forEachOrdered(output::println);
        output.flush();
    }

    static String text(ObjectMapper json, String line) {
        try {
            return json.readValue(line, String.class);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    static List<Map<String, String>> findings(Map<String, FhirValidator> validators, String resource) {
        var found = new ArrayList<Map<String, String>>();
        validators.forEach((path, validator) -> {
            for (var message : validator.validateWithResult(resource).getMessages()) {
                if (message.getSeverity().compareTo(ResultSeverityEnum.WARNING) >= 0
                        && !asksForPackages(message)
                        && !namesSeveralVersions(message, resource)) {
                    found.add(row(path, message));
                }
            }
        });
        return found;
    }

    /**
     * True where the check of a StructureDefinition asks HL7's registry of packages for R4, which it cannot have here.
     *
     * <p>It says so of any StructureDefinition. Whether ours have snapshots is seen when the validator is made.
     */
    static boolean asksForPackages(SingleValidationMessage message) {
        return message.getMessage().contains("Unable to resolve package id hl7.fhir.r4.core#null");
    }

    /**
     * True where a reference in a history leads to a resource of which the history has several versions.
     *
     * <p>Such a reference names no version, and a history has each version under one fullUrl: bdl-7 allows that in a
     * history alone, and bdl-8 forbids a fullUrl with a version. R4 (bundle.html#references) leaves it to the reader
     * whether several matches are an error; the validator takes each for one, in every type of Bundle.
     */
    static boolean namesSeveralVersions(SingleValidationMessage message, String resource) {
        var said = MULTIPLE_MATCHES.matcher(message.getMessage());
        if (!said.matches()) {
            return false;
        }
        var context = FhirContext.forR4Cached();
        var parser = resource.startsWith("<") ? context.newXmlParser() : context.newJsonParser();
        if (!(parser.parseResource(resource) instanceof Bundle bundle) || bundle.getType() != BundleType.HISTORY) {
            return false;
        }
        var versions = bundle.getEntry().stream()
                .filter(entry -> entry.hasFullUrl() && entry.hasResource())
                .filter(entry -> entry.getFullUrl().endsWith("/" + said.group(1)))
                .map(entry -> entry.getResource().getMeta().getVersionId())
                .toList();
        return versions.size() > 1 && versions.size() == Set.copyOf(versions).size();
    }

    static Map<String, String> row(String path, SingleValidationMessage message) {
        var row = new HashMap<String, String>();
        row.put("package", path);
        row.put("severity", message.getSeverity().getCode());
        row.put("id", message.getMessageId());
        row.put("location", message.getLocationString());
        row.put("message", message.getMessage());
        return row;
    }

    static FhirValidator validator(FhirContext context, String... paths) throws IOException {
        var r4 = new DefaultProfileValidationSupport(context);
        var profiles = profiles(context, paths);
        var notHeld = new UnknownCodeSystemWarningValidationSupport(context);
        notHeld.setNonExistentCodeSystemSeverity(IssueSeverity.WARNING);
        var chain = new ValidationSupportChain(
                profiles,
                r4,
                new CommonCodeSystemsTerminologyService(context),
                loinc(context, r4, profiles),
                new InMemoryTerminologyServerValidationSupport(context),
                notHeld,
                new SnapshotGeneratingValidationSupport(context));
        for (StructureDefinition extension : profiles(context, paths[1]).<StructureDefinition>fetchAllStructureDefinitions()) {
            if (!extension.hasSnapshot()) {
                throw new IllegalStateException("no snapshot of " + extension.getUrl());
            }
        }
        var instances = new FhirInstanceValidator(chain);
        instances.setAnyExtensionsAllowed(false);
        instances.setErrorForUnknownProfiles(true);
        return context.newValidator().registerValidatorModule(instances);
    }

    static PrePopulatedValidationSupport profiles(FhirContext context, String... paths) throws IOException {
        var profiles = new PrePopulatedValidationSupport(context);
        for (var path : paths) {
            try (var file = new FileInputStream(path)) {
                var held = NpmPackage.fromPackage(file);
                for (var name : held.listResources("StructureDefinition", "ValueSet", "CodeSystem")) {
                    var resource = context.newJsonParser().parseResource(held.load("package", name));
                    if (resource instanceof ValueSet valueSet) {
                        valueSet.getCompose().getInclude().forEach(ValidateLines::quoteDocuments);
                    }
                    profiles.addResource(resource);
                }
            }
        }
        return profiles;
    }

    /** "All of LOINC whose scale is document", which needs all of LOINC, is the list of document types in R4. */
    static void quoteDocuments(ConceptSetComponent include) {
        if (include.getFilter().stream().anyMatch(filter -> filter.getProperty().equals("SCALE_TYP"))) {
            include.setSystem(null).setFilter(null).addValueSet("http://hl7.org/fhir/ValueSet/c80-doc-typecodes");
        }
    }

    /**
     * As much of LOINC as the value sets of R4 and of the profiles quote.
     *
     * <p>Without any LOINC the validator fails inside and takes that for a warning, so that a binding is not checked.
     * A code that is not in a fragment is a warning.
     */
    static IValidationSupport loinc(FhirContext context, IValidationSupport... supports) {
        supports[0].fetchValueSet("http://hl7.org/fhir/ValueSet/observation-codes"); // it loads when first asked
        var displays = new HashMap<String, String>();
        for (var support : supports) {
            for (var resource : support.fetchAllConformanceResources()) {
                if (resource instanceof ValueSet valueSet) {
                    valueSet.getCompose().getInclude().stream()
                            .filter(include -> LOINC.equals(include.getSystem()))
                            .flatMap(include -> include.getConcept().stream())
                            .forEach(concept -> displays.put(concept.getCode(), concept.getDisplay()));
                }
            }
        }
        var loinc = new CodeSystem();
        loinc.setUrl(LOINC).setStatus(PublicationStatus.ACTIVE).setContent(CodeSystemContentMode.FRAGMENT);
        displays.forEach((code, display) -> loinc.addConcept().setCode(code).setDisplay(display));
        var support = new PrePopulatedValidationSupport(context);
        support.addCodeSystem(loinc);
        return support;
    }
}
