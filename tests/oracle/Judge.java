import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;

/** Judges documents of STU3: a line {"id", "document"} each, answered by a line {"id", "errors": [{"kind", "at", "text"}], "crash"}. */
public class Judge {
  public static void main(String[] arguments) throws Exception {
    FhirContext context = FhirContext.forDstu3();
    FhirInstanceValidator rules = new FhirInstanceValidator(new ValidationSupportChain(
        new DefaultProfileValidationSupport(context),
        new InMemoryTerminologyServerValidationSupport(context),
        new CommonCodeSystemsTerminologyService(context)));
    rules.setAnyExtensionsAllowed(true);
    rules.setErrorForUnknownProfiles(false);
    FhirValidator validator = context.newValidator().registerValidatorModule(rules);
    ObjectMapper json = new ObjectMapper();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      var row = json.readTree(line);
      ObjectNode answer = json.createObjectNode();
      answer.set("id", row.get("id"));
      ArrayNode errors = answer.putArray("errors");
      answer.put("crash", false);
      try {
        for (SingleValidationMessage message : validator.validateWithResult(row.get("document").asText()).getMessages()) {
          if (message.getSeverity().compareTo(ResultSeverityEnum.ERROR) >= 0) {
            errors.addObject().put("kind", message.getMessageId()).put("at", message.getLocationString()).put("text", message.getMessage());
          }
        }
      } catch (RuntimeException | StackOverflowError failure) {
        answer.put("crash", true);
      }
      out.println(json.writeValueAsString(answer));
    }
    out.flush();
  }
}
