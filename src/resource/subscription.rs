//! Subscription: whom a server tells of what changes.

use crate::code::{SubscriptionChannelType, SubscriptionStatus};
use crate::datatype::{Coding, ContactPoint, Primitive};
use crate::primitive::{Instant, Text, Uri};

resource! {
    /// What a server tells another system of: resources that meet criteria, whenever one is created or changed.
    ///
    /// ```
    /// use fhir_devices::code::SubscriptionStatus;
    /// use fhir_devices::resource::Subscription;
    ///
    /// let json = br#"{"resourceType":"Subscription","status":"requested","reason":"new pumps","criteria":"Device?type=pump",
    ///     "channel":{"type":"rest-hook","endpoint":"https://ehr.example/hook"}}"#;
    /// let subscription = Subscription::from_json(json)?;
    /// assert_eq!(subscription.status.value, Some(SubscriptionStatus::Requested));
    /// # Ok::<(), fhir_devices::Report>(())
    /// ```
    pub struct Subscription is "Subscription" {
        /// How far it has come.
        status "status" [1..1] Primitive<SubscriptionStatus>;
        /// The contact for questions about it.
        contact "contact" [0..*] ContactPoint;
        /// When it is turned off.
        end "end" [0..1] Primitive<Instant>;
        /// Why there is this subscription.
        reason "reason" [1..1] Primitive<Text>;
        /// A search, as in `Device?model=P9`: what a resource must meet.
        criteria "criteria" [1..1] Primitive<Text>;
        /// Why the last notification could not be sent.
        error "error" [0..1] Primitive<Text>;
        /// How notifications are sent.
        channel "channel" [1..1] Channel;
        /// Tags that the server gives to what meets the criteria.
        tag "tag" [0..*] Coding;
    }
}

backbone! {
    /// How the notifications of a [`Subscription`] are sent.
    pub struct Channel at "Subscription.channel" {
        /// By what means.
        r#type "type" [1..1] Primitive<SubscriptionChannelType>;
        /// To which address.
        endpoint "endpoint" [0..1] Primitive<Uri>;
        /// The media type of the resource that a notification has with it; without, it has none.
        payload "payload" [0..1] Primitive<Text>;
        /// More of the request, as in `Authorization: Bearer ..`.
        header "header" [0..*] Primitive<Text>;
    }
}
