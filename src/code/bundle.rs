//! Codes of Bundle.

codes! {
    /// What a bundle is for: `Bundle.type`.
    BundleType = "http://hl7.org/fhir/ValueSet/bundle-type" {
        /// A document, whose first entry is a Composition.
        Document = "document",
        /// A message, whose first entry is a MessageHeader.
        Message = "message",
        /// Requests of which a server carries out all or none.
        Transaction = "transaction",
        /// The answer to a transaction.
        TransactionResponse = "transaction-response",
        /// Requests that a server carries out one by one.
        Batch = "batch",
        /// The answer to a batch.
        BatchResponse = "batch-response",
        /// Versions of resources, newest first.
        History = "history",
        /// What a search found.
        Searchset = "searchset",
        /// Resources put together, with no more said.
        Collection = "collection",
    }

    /// Why an entry is in the result of a search: `Bundle.entry.search.mode`.
    SearchEntryMode = "http://hl7.org/fhir/ValueSet/search-entry-mode" {
        /// The resource meets the criteria.
        Match = "match",
        /// Another entry refers to it, or it refers to another entry.
        Include = "include",
        /// The resource is an OperationOutcome about the search itself.
        Outcome = "outcome",
    }

    /// What an entry asks a server to do: `Bundle.entry.request.method`.
    HttpVerb = "http://hl7.org/fhir/ValueSet/http-verb" {
        /// Read.
        Get = "GET",
        /// Create, or run an operation.
        Post = "POST",
        /// Update.
        Put = "PUT",
        /// Delete.
        Delete = "DELETE",
    }
}
