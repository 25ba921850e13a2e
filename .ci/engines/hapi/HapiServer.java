import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.interceptor.api.Hook;
import ca.uhn.fhir.interceptor.api.IInterceptorService;
import ca.uhn.fhir.interceptor.api.Interceptor;
import ca.uhn.fhir.interceptor.api.Pointcut;
import ca.uhn.fhir.interceptor.model.RequestPartitionId;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.dstu3.JpaDstu3Config;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirH2Dialect;
import ca.uhn.fhir.jpa.provider.JpaSystemProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.jpa.subscription.submit.config.SubscriptionSubmitterConfig;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.tenant.UrlBaseTenantIdentificationStrategy;
import jakarta.persistence.EntityManagerFactory;
import java.net.InetSocketAddress;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import javax.sql.DataSource;
import org.apache.commons.dbcp2.BasicDataSource;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;
import org.springframework.transaction.annotation.EnableTransactionManagement;

/**
 * HAPI's JPA server for the tests: `HapiServer PORT stu3|r4 [meta-source]` serves http://127.0.0.1:PORT/fhir/TENANT, each tenant in a
 * partition of one database in memory, and prints `up` when it does. With `meta-source` it adds the source of a version to its `meta`.
 */
public class HapiServer {
    private static boolean withSource;

    @Interceptor
    public static class TenantPartitions {
        @Hook(Pointcut.STORAGE_PARTITION_IDENTIFY_CREATE)
        public RequestPartitionId ofCreation(RequestDetails request) {
            return partition(request);
        }

        @Hook(Pointcut.STORAGE_PARTITION_IDENTIFY_READ)
        public RequestPartitionId ofRead(RequestDetails request) {
            return partition(request);
        }

        private RequestPartitionId partition(RequestDetails request) {
            String tenant = request.getTenantId();
            return RequestPartitionId.fromPartitionId(tenant == null ? 0 : Math.floorMod(tenant.hashCode(), 1_000_000_007) + 1);
        }
    }

    public static class Common {
        @Bean
        public JpaStorageSettings storageSettings() {
            JpaStorageSettings settings = new JpaStorageSettings();
            settings.setResourceClientIdStrategy(JpaStorageSettings.ClientIdStrategyEnum.ANY);
            settings.setAllowExternalReferences(true);
            settings.setEnforceReferentialIntegrityOnWrite(false);
            settings.setEnforceReferentialIntegrityOnDelete(false);
            settings.setReuseCachedSearchResultsForMillis(null);
            if (!withSource) {
                settings.setStoreMetaSourceInformation(JpaStorageSettings.StoreMetaSourceInformationEnum.NONE);
            }
            return settings;
        }

        @Bean
        public PartitionSettings partitionSettings() {
            PartitionSettings settings = new PartitionSettings();
            settings.setPartitioningEnabled(true);
            settings.setUnnamedPartitionMode(true);
            return settings;
        }

        @Bean
        public SubscriptionSettings subscriptionSettings() {
            return new SubscriptionSettings();
        }

        @Bean(destroyMethod = "close")
        public DataSource dataSource() {
            BasicDataSource source = new BasicDataSource();
            source.setDriverClassName("org.h2.Driver");
            source.setUrl("jdbc:h2:mem:fhir;DB_CLOSE_DELAY=-1");
            source.setMaxTotal(20);
            return source;
        }

        @Bean
        public LocalContainerEntityManagerFactoryBean entityManagerFactory(
                ConfigurableListableBeanFactory beans, FhirContext context, JpaStorageSettings settings, DataSource source) {
            var factory = HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, context, settings);
            factory.setPersistenceUnitName("HAPI_PU");
            factory.setDataSource(source);
            Properties properties = new Properties();
            properties.put("hibernate.dialect", HapiFhirH2Dialect.class.getName());
            properties.put("hibernate.hbm2ddl.auto", "update");
            properties.put("hibernate.search.enabled", "false");
            factory.setJpaProperties(properties);
            return factory;
        }

        @Primary
        @Bean(name = {"hapiTransactionManager", "transactionManager"})
        public JpaTransactionManager transactionManager(EntityManagerFactory factory) {
            return new JpaTransactionManager(factory);
        }
    }

    @Configuration
    @EnableTransactionManagement
    @Import({JpaDstu3Config.class, HapiJpaConfig.class, ThreadPoolFactoryConfig.class, JpaBatch2Config.class,
        ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig.class, SubscriptionChannelConfig.class, SubscriptionSubmitterConfig.class})
    public static class Stu3 extends Common {}

    @Configuration
    @EnableTransactionManagement
    @Import({JpaR4Config.class, HapiJpaConfig.class, ThreadPoolFactoryConfig.class, JpaBatch2Config.class,
        ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig.class, SubscriptionChannelConfig.class, SubscriptionSubmitterConfig.class})
    public static class R4 extends Common {}

    /** The ids of a type are unique in the whole database; here they are unique in a partition. */
    private static void makeIdsUniqueByPartition(DataSource source) throws Exception {
        String of = " where table_name = 'HFJ_RESOURCE' and ";
        try (Connection connection = source.getConnection(); Statement statement = connection.createStatement()) {
            for (String name : names(statement, "constraint_name from information_schema.table_constraints" + of + "constraint_type = 'UNIQUE'")) {
                statement.execute("alter table HFJ_RESOURCE drop constraint " + name);
            }
            for (String name : names(statement, "index_name from information_schema.indexes" + of + "index_type_name = 'UNIQUE INDEX'")) {
                statement.execute("drop index if exists " + name);
            }
            statement.execute("create unique index IDS_OF_PARTITION on HFJ_RESOURCE (PARTITION_ID, RES_TYPE, FHIR_ID)");
        }
    }

    private static List<String> names(Statement statement, String query) throws Exception {
        List<String> names = new ArrayList<>();
        try (ResultSet rows = statement.executeQuery("select " + query)) {
            while (rows.next()) {
                names.add(rows.getString(1));
            }
        }
        return names;
    }

    public static void main(String[] arguments) throws Exception {
        List<String> how = Arrays.asList(arguments);
        withSource = how.contains("meta-source");
        var beans = new AnnotationConfigApplicationContext(how.contains("r4") ? R4.class : Stu3.class);
        makeIdsUniqueByPartition(beans.getBean(DataSource.class));

        RestfulServer fhir = new RestfulServer(beans.getBean(FhirContext.class));
        fhir.registerProviders(beans.getBean(ResourceProviderFactory.class).createProviders());
        fhir.registerProvider(beans.getBean(JpaSystemProvider.class));
        fhir.setTenantIdentificationStrategy(new UrlBaseTenantIdentificationStrategy());
        fhir.setPagingProvider(beans.getBean(DatabaseBackedPagingProvider.class));
        fhir.setDefaultResponseEncoding(EncodingEnum.JSON);
        TenantPartitions partitions = new TenantPartitions();
        beans.getBean(IInterceptorService.class).registerInterceptor(partitions);
        fhir.registerInterceptor(partitions);

        Server server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
        ServletContextHandler root = new ServletContextHandler();
        root.setContextPath("/");
        root.addServlet(new ServletHolder(fhir), "/fhir/*");
        server.setHandler(root);
        server.start();
        System.out.println("up");
        server.join();
    }
}
