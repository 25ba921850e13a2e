//! Codes of subscriptions.

codes! {
    /// State of a subscription: `Subscription.status`.
    SubscriptionStatus = "http://hl7.org/fhir/ValueSet/subscription-status" {
        /// Requested by the client, and not set up by the server yet.
        Requested = "requested",
        /// Notifications are sent.
        Active = "active",
        /// The last notification failed, and is tried again.
        Error = "error",
        /// No more notifications are sent.
        Off = "off",
    }

    /// Channel of the notifications: `Subscription.channel.type`.
    SubscriptionChannelType = "http://hl7.org/fhir/ValueSet/subscription-channel-type" {
        /// An HTTP request to a URL.
        RestHook = "rest-hook",
        /// A message over a WebSocket that the client opened.
        Websocket = "websocket",
        /// E-mail.
        Email = "email",
        /// An SMS to a telephone.
        Sms = "sms",
        /// A FHIR message to a URL.
        Message = "message",
    }
}
