//! Codes of subscriptions.

codes! {
    /// How far a subscription has come: `Subscription.status`.
    SubscriptionStatus = "http://hl7.org/fhir/ValueSet/subscription-status" {
        /// The client asked for it, and the server has not set it up yet.
        Requested = "requested",
        /// Notifications are sent.
        Active = "active",
        /// The last notification could not be sent, and is tried again.
        Error = "error",
        /// No notifications are sent any more.
        Off = "off",
    }

    /// By what means notifications are sent: `Subscription.channel.type`.
    SubscriptionChannelType = "http://hl7.org/fhir/ValueSet/subscription-channel-type" {
        /// An HTTP request to an address.
        RestHook = "rest-hook",
        /// A message over a WebSocket that the client opened.
        Websocket = "websocket",
        /// Electronic mail.
        Email = "email",
        /// A short message to a telephone.
        Sms = "sms",
        /// A FHIR message to an address.
        Message = "message",
    }
}
