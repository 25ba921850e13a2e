//! Codes of Bundle.

codes! {
    /// Purpose of a Bundle: `Bundle.type`.
    BundleType = "http://hl7.org/fhir/ValueSet/bundle-type" {
        /// A document, whose first entry is a Composition.
        Document = "document",
        /// A message, whose first entry is a MessageHeader.
        Message = "message",
        /// Requests that a server carries out all or none.
        Transaction = "transaction",
        /// The answer to a transaction.
        TransactionResponse = "transaction-response",
        /// Requests that a server carries out one by one.
        Batch = "batch",
        /// The answer to a batch.
        BatchResponse = "batch-response",
        /// Versions of resources, newest first.
        History = "history",
        /// Results of a search.
        Searchset = "searchset",
        /// Resources collected for any other purpose.
        Collection = "collection",
    }

    /// Reason for an entry in a search result: `Bundle.entry.search.mode`.
    SearchEntryMode = "http://hl7.org/fhir/ValueSet/search-entry-mode" {
        /// The resource meets the criteria.
        Match = "match",
        /// Another entry refers to it, or it refers to another entry.
        Include = "include",
        /// The resource is an OperationOutcome about the search itself.
        Outcome = "outcome",
    }

    /// HTTP method of a request entry: `Bundle.entry.request.method`.
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
