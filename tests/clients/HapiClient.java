// HAPI's generic client against a running service: java HapiClient BASE

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.api.PatchTypeEnum;
import ca.uhn.fhir.rest.api.PreferReturnEnum;
import ca.uhn.fhir.rest.api.SummaryEnum;
import ca.uhn.fhir.rest.client.api.IGenericClient;
import ca.uhn.fhir.rest.client.apache.GZipContentInterceptor;
import ca.uhn.fhir.rest.gclient.StringClientParam;
import ca.uhn.fhir.rest.gclient.TokenClientParam;
import ca.uhn.fhir.rest.server.exceptions.ResourceGoneException;
import ca.uhn.fhir.rest.server.exceptions.ResourceVersionConflictException;
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.hl7.fhir.dstu3.model.*;

public class HapiClient {
    static final FhirContext CONTEXT = FhirContext.forDstu3();

    static void check(boolean holds, Object... found) {
        if (!holds) throw new AssertionError(List.of(found).toString());
    }

    static Device device(String serial) {
        Device device = new Device();
        device.setModel("hapi").addIdentifier().setSystem("urn:hapi").setValue(serial);
        return device;
    }

    static DeviceComponent component(String id, String source) {
        DeviceComponent component = new DeviceComponent();
        component.setIdentifier(new Identifier().setValue(id)).setType(new CodeableConcept().setText("MDS"));
        component.setSource(new Reference(source)).setId(id);
        return component;
    }

    static List<String> ids(Bundle bundle) {
        return bundle.getEntry().stream()
            .filter(entry -> entry.getSearch().getMode() == Bundle.SearchEntryMode.MATCH)
            .map(entry -> entry.getResource().getIdElement().getIdPart())
            .collect(Collectors.toList());
    }

    public static void main(String[] arguments) throws Exception {
        CONTEXT.getRestfulClientFactory().setSocketTimeout(60_000);
        IGenericClient client = CONTEXT.newRestfulGenericClient(arguments[0]);
        client.registerInterceptor(new GZipContentInterceptor());
        CapabilityStatement can = client.capabilities().ofType(CapabilityStatement.class).execute();
        check(can.getFhirVersion().equals("3.0.2"), can.getFhirVersion());

        // Create, conditionally too.
        MethodOutcome made = client.create().resource(device("1")).execute();
        String id = made.getId().getIdPart();
        check(made.getCreated() && made.getId().getVersionIdPart().equals("1"), made.getId());
        MethodOutcome same = client.create().resource(device("1"))
            .conditional().where(new TokenClientParam("identifier").exactly().systemAndCode("urn:hapi", "1")).execute();
        check(same.getId().getIdPart().equals(id), same.getId());
        MethodOutcome upserted = client.update().resource(device("2"))
            .conditional().where(new TokenClientParam("identifier").exactly().systemAndCode("urn:hapi", "2")).execute();
        check(upserted.getId().hasIdPart(), upserted);

        // Patch, conditionally too, and versions.
        String patch = "[{\"op\":\"replace\",\"path\":\"/model\",\"value\":\"patched\"}]";
        client.patch().withBody(patch).withId("Device/" + id).prefer(PreferReturnEnum.REPRESENTATION).execute();
        client.patch().withBody(patch).conditional("Device")
            .where(new TokenClientParam("identifier").exactly().systemAndCode("urn:hapi", "2")).execute();
        Device first = client.read().resource(Device.class).withIdAndVersion(id, "1").execute();
        check(first.getModel().equals("hapi"), first.getModel());
        Device now = client.read().resource(Device.class).withId(id).execute();
        check(now.getModel().equals("patched"), now.getModel());
        try {
            client.update().resource(first).withId(new IdType("Device", id, "1")).execute();
            throw new AssertionError("an update of an old version was taken");
        } catch (ResourceVersionConflictException | ca.uhn.fhir.rest.server.exceptions.PreconditionFailedException conflict) {
            // It is wanted.
        }

        // Transactions and batches: the client writes a total.
        Bundle sent = new Bundle();
        sent.setType(Bundle.BundleType.TRANSACTION).setTotal(2);
        sent.addEntry().setFullUrl("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e1").setResource(device("3"))
            .getRequest().setMethod(Bundle.HTTPVerb.POST).setUrl("Device");
        sent.addEntry().setResource(component("hapi-mds", "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e1"))
            .getRequest().setMethod(Bundle.HTTPVerb.PUT).setUrl("DeviceComponent/hapi-mds");
        Bundle answered = client.transaction().withBundle(sent).execute();
        check(answered.getEntry().size() == 2, answered);
        Bundle batch = new Bundle();
        batch.setType(Bundle.BundleType.BATCH).setTotal(1);
        batch.addEntry().getRequest().setMethod(Bundle.HTTPVerb.GET).setUrl("Device/" + id);
        check(client.transaction().withBundle(batch).execute().getEntryFirstRep().getResource() instanceof Device);

        // Searches in every way, pages back and forth.
        TokenClientParam identifier = new TokenClientParam("identifier");
        Bundle page = client.search().forResource(Device.class).where(identifier.hasSystemWithAnyCode("urn:hapi"))
            .sort().descending("identifier").count(2).returnBundle(Bundle.class).execute();
        Bundle next = client.loadPage().next(page).execute();
        Bundle back = client.loadPage().previous(next).execute();
        check(ids(page).size() == 2 && ids(back).equals(ids(page)), ids(page), ids(back));
        // Where it compresses, this client leaves the type of a form out.
        Bundle posted = client.search().forResource(Device.class).where(new StringClientParam("model").matches().value("patched"))
            .usingStyle(ca.uhn.fhir.rest.api.SearchStyleEnum.POST).returnBundle(Bundle.class).execute();
        check(ids(posted).size() == 2, ids(posted));
        Bundle chained = client.search().byUrl("DeviceComponent?source.identifier=urn:hapi|3&_include=DeviceComponent:source")
            .returnBundle(Bundle.class).execute();
        check(ids(chained).equals(List.of("hapi-mds")) && chained.getEntry().size() == 2, ids(chained));
        Bundle reverse = client.search().byUrl("Device?_has:DeviceComponent:source:identifier=hapi-mds")
            .returnBundle(Bundle.class).execute();
        check(ids(reverse).size() == 1, ids(reverse));
        Bundle everything = client.search().forAllResources().where(new TokenClientParam("_id").exactly().code("hapi-mds"))
            .returnBundle(Bundle.class).execute();
        check(ids(everything).equals(List.of("hapi-mds")), ids(everything));
        Device summary = client.read().resource(Device.class).withId(id).summaryMode(SummaryEnum.TRUE).execute();
        check(summary.getMeta().getTag("http://hl7.org/fhir/v3/ObservationValue", "SUBSETTED") != null, summary.getMeta());

        // Histories.
        Bundle own = client.history().onInstance(new IdType("Device", id)).returnBundle(Bundle.class).execute();
        check(own.getEntry().size() == 2, own.getEntry().size());
        check(client.history().onType(Device.class).returnBundle(Bundle.class).count(2).execute().getEntry().size() == 2);
        check(client.history().onServer().returnBundle(Bundle.class).execute().getEntry().size() > 4);

        // Operations.
        MethodOutcome valid = client.validate().resource(device("9")).execute();
        check(valid.getOperationOutcome() != null);
        Meta added = client.meta().add().onResource(new IdType("Device", id))
            .meta(new Meta().addTag(new Coding().setSystem("urn:hapi").setCode("x"))).execute();
        check(added.getTag("urn:hapi", "x") != null, added);
        Meta deleted = client.meta().delete().onResource(new IdType("Device", id))
            .meta(new Meta().addTag(new Coding().setSystem("urn:hapi").setCode("x"))).execute();
        check(deleted.getTag("urn:hapi", "x") == null, deleted);
        check(client.meta().get(Meta.class).fromResource(new IdType("Device", id)).execute() != null);

        // A subscription.
        LinkedBlockingQueue<String> told = new LinkedBlockingQueue<>();
        HttpServer hook = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        hook.createContext("/told", exchange -> {
            exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(204, -1);
            exchange.close();
            told.add(exchange.getRequestMethod() + " " + exchange.getRequestHeaders().getFirst("X-Secret"));
        });
        hook.start();
        Subscription subscription = new Subscription();
        subscription.setStatus(Subscription.SubscriptionStatus.REQUESTED).setReason("a test").setCriteria("Device?model=told");
        subscription.getChannel().setType(Subscription.SubscriptionChannelType.RESTHOOK)
            .setEndpoint("http://127.0.0.1:" + hook.getAddress().getPort() + "/told").addHeader("X-Secret: s3cret");
        IdType subscribed = new IdType("Subscription", client.create().resource(subscription).execute().getId().getIdPart());
        client.create().resource(device("8").setModel("told")).execute();
        String notification = told.poll(30, TimeUnit.SECONDS);
        check("POST s3cret".equals(notification), String.valueOf(notification));
        Subscription active = client.read().resource(Subscription.class).withId(subscribed).execute();
        check(active.getStatus() == Subscription.SubscriptionStatus.ACTIVE, active.getStatus());
        client.delete().resourceById(subscribed).execute();
        hook.stop(0);

        // Deletion, conditionally too.
        client.delete().resourceById("Device", id).execute();
        try {
            client.read().resource(Device.class).withId(id).execute();
            throw new AssertionError("what was deleted is read");
        } catch (ResourceGoneException gone) {
            // It is wanted.
        }
        client.delete().resourceConditionalByUrl("Device?identifier=urn:hapi|2").execute();
    }
}
