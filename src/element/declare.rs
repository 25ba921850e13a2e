//! The macros in which types are declared.
//!
//! A row of [`element!`] is a doc comment, the Rust name, the name on the wire, the cardinality and the type:
//!
//! ```text
//! /// Which coding system.
//! system "system" [0..1] Primitive<Uri>;
//! ```
//!
//! `[0..1]` gives an `Option`, `[1..1]` the type itself, `[0..*]` and `[1..*]` a `Vec`, and `[x 0..1]` an `Option` of
//! a type that [`choice!`] declared, whose members are `value[x]`. From the rows come the struct, its
//! [`Definition`](super::Definition), its reader and writer, and the walk over its children. A rule is its key, where
//! it points if not at the element itself, what it demands, and the check. Rules that need to see the whole resource
//! are named after `walked`; the walk checks them. What has no key in the specification, or a message of its own, is checked
//! by the function after `also`. A member that a rule forbids, and that has no row, is named after
//! `forbids`; the reader finds it.

macro_rules! row_type {
    ([0..1] $ty:ty) => { Option<$ty> };
    ([1..1] $ty:ty) => { $ty };
    ([0..*] $ty:ty) => { Vec<$ty> };
    ([1..*] $ty:ty) => { Vec<$ty> };
    ([x 0..1] $ty:ty) => { Option<$ty> };
    ([x 1..1] $ty:ty) => { Option<$ty> };
}

macro_rules! row_blank {
    ([1..1] $ty:ty) => {
        <$ty as $crate::element::Value>::blank()
    };
    ($card:tt $ty:ty) => {
        Default::default()
    };
}

macro_rules! row_is_blank {
    ([1..1] $field:expr) => {
        $crate::element::Value::is_blank(&$field)
    };
    ([x $($card:tt)*] $field:expr) => {
        $field.as_ref().is_none_or(|value| $crate::element::Choice::is_blank(value))
    };
    ($card:tt $field:expr) => {
        $crate::element::Slot::is_blank(&$field)
    };
}

macro_rules! row_def {
    ([0..1] $wire:literal $ty:ty) => { row_def!(@ 0 One $wire <$ty as $crate::element::Value>::types) };
    ([1..1] $wire:literal $ty:ty) => { row_def!(@ 1 One $wire <$ty as $crate::element::Value>::types) };
    ([0..*] $wire:literal $ty:ty) => { row_def!(@ 0 Many $wire <$ty as $crate::element::Value>::types) };
    ([1..*] $wire:literal $ty:ty) => { row_def!(@ 1 Many $wire <$ty as $crate::element::Value>::types) };
    ([x 0..1] $wire:literal $ty:ty) => { row_def!(@ 0 One $wire <$ty as $crate::element::Choice>::types) };
    ([x 1..1] $wire:literal $ty:ty) => { row_def!(@ 1 One $wire <$ty as $crate::element::Choice>::types) };
    (@ $min:literal $max:ident $wire:literal $types:expr) => {
        $crate::element::ElementDef::new($wire, $min, $crate::element::Max::$max, $types)
    };
}

macro_rules! row_read {
    ([x $($card:tt)*] $wire:literal $field:expr, $row:expr; $r:ident $at:ident $member:ident $seen:ident) => {
        Ok(None)
    };
    ([1..1] $wire:literal $field:expr, $row:expr; $r:ident $at:ident $member:ident $seen:ident) => {{
        let here = $at.child($wire);
        if $seen.again($row, $member.under) {
            return $r.duplicate(&$at.child($member.key));
        }
        if $member.under {
            $crate::element::Value::read_under(&mut $field, $r, &$at.child($member.key))
        } else {
            $crate::element::Value::read(&mut $field, $r, &here).map(Some)
        }
    }};
    ($card:tt $wire:literal $field:expr, $row:expr; $r:ident $at:ident $member:ident $seen:ident) => {{
        let here = $at.child($wire);
        if $seen.again($row, $member.under) {
            return $r.duplicate(&$at.child($member.key));
        }
        if $member.under {
            $crate::element::Slot::read_under(&mut $field, $r, &here, $wire, $member.key)
        } else {
            $crate::element::Slot::read(&mut $field, $r, &here)
        }
    }};
}

macro_rules! row_read_choice {
    ([x $($card:tt)*] $field:expr, $row:expr; $r:ident $at:ident $member:ident $seen:ident) => {
        if let Some(outcome) = $crate::element::read_choice(&mut $field, $r, $at, $member, $seen, $row)? {
            return Ok(Some(outcome));
        }
    };
    ($card:tt $field:expr, $row:expr; $r:ident $at:ident $member:ident $seen:ident) => {};
}

macro_rules! row_required {
    ([1..1] $then:expr) => {
        $then
    };
    ([1..*] $then:expr) => {
        $then
    };
    ([x 1..1] $then:expr) => {
        $then
    };
    ($card:tt $then:expr) => {};
}

macro_rules! row_settle {
    ([1..1] $wire:literal $field:expr; $r:ident $at:ident) => {
        $crate::element::Value::settle(&$field, $r, &$at.child($wire))
    };
    ([x $($card:tt)*] $wire:literal $field:expr; $r:ident $at:ident) => {
        if let Some(value) = &$field {
            $crate::element::Choice::settle(value, $r, $at)
        }
    };
    ($card:tt $wire:literal $field:expr; $r:ident $at:ident) => {
        $crate::element::Slot::settle(&$field, $r, &$at.child($wire))
    };
}

macro_rules! row_write {
    ([1..1] $wire:literal $field:expr; $w:ident) => {
        $crate::element::Value::write_member(&$field, $w, concat!(",\"", $wire, "\":"), concat!(",\"_", $wire, "\":"))
    };
    ([x $($card:tt)*] $wire:literal $field:expr; $w:ident) => {
        if let Some(value) = &$field {
            $crate::element::Choice::write(value, $w)
        }
    };
    ($card:tt $wire:literal $field:expr; $w:ident) => {
        $crate::element::Slot::write(&$field, $w, concat!(",\"", $wire, "\":"), concat!(",\"_", $wire, "\":"))
    };
}

macro_rules! row_visit {
    ([1..1] $wire:literal $field:expr; $at:ident $visit:ident) => {
        if !$crate::element::Value::is_blank(&$field) && !$crate::element::Value::is_plain(&$field) {
            $visit(&$at.child($wire), &$field)
        }
    };
    ([x $($card:tt)*] $wire:literal $field:expr; $at:ident $visit:ident) => {
        if let Some(value) = &$field {
            $visit(&$at.child($crate::element::Choice::name(value)), value)
        }
    };
    ($card:tt $wire:literal $field:expr; $at:ident $visit:ident) => {
        $crate::element::Slot::visit(&$field, $at, $wire, $visit)
    };
}

/// The place of a rule: the element, or a member of it.
macro_rules! rule_place {
    ($at:ident) => {
        *$at
    };
    ($at:ident $member:literal) => {
        $at.child($member)
    };
}

/// The message of a broken rule: that of the rule, or what it says of the value that breaks it.
macro_rules! rule_message {
    ($value:expr, $message:literal) => {
        $message
    };
    ($value:expr, $message:literal, $said:expr) => {{
        let said: fn(&Self) -> String = $said;
        said($value)
    }};
}

macro_rules! element {
    (
        $(#[$meta:meta])*
        pub struct $Name:ident $(<$T:ident: $bound:ident>)? is $type:literal at $path:literal $(resource $resource:literal)? {
            $( $(#[$row_meta:meta])* $field:ident $wire:literal $card:tt $ty:ty; )*
        }
        $( rules { $( $key:literal $(at $place:literal)? , $message:literal, $check:expr $(, said $said:expr)?; )* } )?
        $( walked $($walked:path),+ ; )?
        $( facts $facts:expr; )?
        $( also $also:expr; )?
        $( read $hook:expr; )?
        $( forbids { $( $forbidden:literal $forbidden_key:literal, $forbidden_message:literal; )* } )?
    ) => {
        $(#[$meta])*
        pub struct $Name $(<$T: $bound>)? {
            $( $(#[$row_meta])* pub $field: row_type!($card $ty), )*
            /// Members that are not in the model, kept by a lenient read.
            pub unmodelled: $crate::element::Unmodelled,
            $(
                /// The types that the reference may point at.
                pub target: std::marker::PhantomData<$T>,
            )?
        }

        impl $(<$T: $bound>)? Clone for $Name $(<$T>)? {
            fn clone(&self) -> Self {
                Self {
                    $( $field: self.$field.clone(), )*
                    unmodelled: self.unmodelled.clone(),
                    $( target: std::marker::PhantomData::<$T>, )?
                }
            }
        }

        impl $(<$T: $bound>)? PartialEq for $Name $(<$T>)? {
            fn eq(&self, other: &Self) -> bool {
                $( self.$field == other.$field && )* self.unmodelled == other.unmodelled
            }
        }

        /// Shows the members that have content.
        impl $(<$T: $bound>)? std::fmt::Debug for $Name $(<$T>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut shown = f.debug_struct(stringify!($Name));
                $(
                    if !row_is_blank!($card self.$field) {
                        shown.field(stringify!($field), &self.$field);
                    }
                )*
                if !self.unmodelled.is_empty() {
                    shown.field("unmodelled", &self.unmodelled);
                }
                shown.finish()
            }
        }

        impl $(<$T: $bound>)? $crate::element::Element for $Name $(<$T>)? {
            fn definition() -> &'static $crate::element::Definition {
                &const {
                    $crate::element::Definition {
                        path: $path,
                        type_name: $type,
                        rows: &[ $( row_def!($card $wire $ty) ),* ],
                        rules: &[
                            $( $( $crate::element::RuleDef::new($key, $message), )* )?
                            $( $($walked,)+ )?
                        ],
                        forbidden: &[
                            $( $(
                                ($forbidden, $crate::element::RuleDef::new($forbidden_key, $forbidden_message)),
                            )* )?
                        ],
                    }
                }
            }
        }

        const _: () = {
            #[allow(non_camel_case_types, dead_code, clippy::upper_case_acronyms)]
            #[repr(u32)]
            enum Row { $($field),* }

            impl $(<$T: $bound>)? $crate::element::Sink for $Name $(<$T>)? {
                fn definition(&self) -> &'static $crate::element::Definition {
                    <Self as $crate::element::Element>::definition()
                }

                $(
                    fn resource_type(&self) -> Option<&'static str> {
                        Some($resource)
                    }
                )?

                fn member(
                    &mut self,
                    r: &mut $crate::element::Reader<'_>,
                    at: &$crate::issue::Path<'_>,
                    member: $crate::element::Member<'_>,
                    seen: &mut $crate::element::Seen,
                ) -> $crate::element::Read<Option<$crate::element::Outcome>> {
                    match member.name {
                        $( $wire => row_read!($card $wire self.$field, Row::$field as u32; r at member seen), )*
                        _ => {
                            $( row_read_choice!($card self.$field, Row::$field as u32; r at member seen); )*
                            Ok(None)
                        }
                    }
                }

                fn finish(
                    &mut self,
                    r: &mut $crate::element::Reader<'_>,
                    at: &$crate::issue::Path<'_>,
                    seen: &$crate::element::Seen,
                ) {
                    $( row_required!($card $crate::element::missing(r, at, $wire, seen.has(Row::$field as u32))); )*
                    if seen.any_under() || r.padded {
                        $( row_settle!($card $wire self.$field; r at); )*
                    }
                    $(
                        let hook: fn(&mut Self, &mut $crate::element::Reader<'_>, &$crate::issue::Path<'_>) = $hook;
                        hook(self, r, at);
                    )?
                }

                fn unmodelled(&mut self) -> &mut $crate::element::Unmodelled {
                    &mut self.unmodelled
                }
            }

            impl $(<$T: $bound>)? $crate::element::Value for $Name $(<$T>)? {
                fn blank() -> Self {
                    Self {
                        $( $field: row_blank!($card $ty), )*
                        unmodelled: Default::default(),
                        $( target: std::marker::PhantomData::<$T>, )?
                    }
                }

                fn is_blank(&self) -> bool {
                    $( row_is_blank!($card self.$field) && )* self.unmodelled.is_empty()
                }

                fn read(
                    &mut self,
                    r: &mut $crate::element::Reader<'_>,
                    at: &$crate::issue::Path<'_>,
                ) -> $crate::element::Read<$crate::element::Outcome> {
                    r.object(at, self)
                }

                fn write(&self, w: &mut $crate::element::Writer) -> bool {
                    let mark = w.open();
                    $( w.raw(concat!("\"resourceType\":\"", $resource, "\"")); )?
                    $( row_write!($card $wire self.$field; w); )*
                    w.unmodelled(&self.unmodelled);
                    w.close(mark)
                }

                fn types() -> &'static [$crate::element::TypeDef] {
                    element!(@types $type $($T)? ; $Name $(<$T>)?)
                }
            }

            impl $(<$T: $bound>)? $crate::element::Node for $Name $(<$T>)? {
                fn check(&self, at: &$crate::issue::Path<'_>, report: &mut $crate::issue::Report) {
                    let report_empty = $( ($wire == "id" || row_is_blank!($card self.$field)) && )* self.unmodelled.is_empty();
                    element!(@ele1 report_empty at report $path $($resource)?);
                    $( row_required!($card $crate::element::absent(at, $wire, $path, row_is_blank!($card self.$field), report)); )*
                    $( $(
                        let rule: fn(&Self) -> bool = $check;
                        if !rule(self) {
                            let message = rule_message!(self, $message $(, $said)?);
                            $crate::element::broken($key, &message, $path, &rule_place!(at $($place)?), report);
                        }
                    )* )?
                    $(
                        let also: fn(&Self, &$crate::issue::Path<'_>, &mut $crate::issue::Report) = $also;
                        also(self, at, report);
                    )?
                }

                fn children<'n>(
                    &'n self,
                    at: &$crate::issue::Path<'_>,
                    visit: &mut dyn FnMut(&$crate::issue::Path<'_>, &'n dyn $crate::element::Node),
                ) {
                    $( row_visit!($card $wire self.$field; at visit); )*
                }

                $(
                    fn facts(&self) -> $crate::element::Facts<'_> {
                        let facts: for<'n> fn(&'n Self) -> $crate::element::Facts<'n> = $facts;
                        facts(self)
                    }
                )?

                fn definition(&self) -> Option<&'static $crate::element::Definition> {
                    Some(<Self as $crate::element::Element>::definition())
                }

                fn as_any(&self) -> Option<&dyn std::any::Any> {
                    Some(self)
                }

                fn id(&self) -> Option<&str> {
                    self.id.as_ref().and_then(|id| $crate::element::IdText::id_text(id))
                }
            }
        };
    };
    (@types $type:literal ; $Name:ty) => {
        &const { [$crate::element::TypeDef::complex($type, <$Name as $crate::element::Element>::definition)] }
    };
    (@types $type:literal $T:ident ; $Name:ty) => {
        &const { [$crate::element::TypeDef::reference($T::TYPES, <$Name as $crate::element::Element>::definition)] }
    };
    (@ele1 $report_empty:ident $at:ident $report:ident $path:literal) => {
        if $report_empty {
            $crate::element::report_empty($at, $path, $report);
        }
    };
    (@ele1 $report_empty:ident $at:ident $report:ident $path:literal $resource:literal) => {
        // A resource may consist of its type alone.
        let _ = ($report_empty, $at, &mut *$report);
    };
}

macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $Name:ident $prefix:literal {
            $( $(#[$variant_meta:meta])* $Variant:ident $ty:ty; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $Name {
            $( $(#[$variant_meta])* $Variant($ty), )*
        }

        $(
            impl From<$ty> for $Name {
                fn from(value: $ty) -> Self {
                    Self::$Variant(value)
                }
            }
        )*

        impl $crate::element::Choice for $Name {
            const PREFIX: &'static str = $prefix;

            fn types() -> &'static [$crate::element::TypeDef] {
                static TYPES: std::sync::OnceLock<Vec<$crate::element::TypeDef>> = std::sync::OnceLock::new();
                TYPES.get_or_init(|| {
                    [ $( <$ty as $crate::element::Value>::types() ),* ].into_iter().flatten().copied().collect()
                })
            }

            fn blank(suffix: &str) -> Option<Self> {
                match suffix {
                    $( stringify!($Variant) => Some(Self::$Variant(<$ty as $crate::element::Value>::blank())), )*
                    _ => None,
                }
            }

            fn is(&self, suffix: &str) -> bool {
                match self {
                    $( Self::$Variant(_) => suffix == stringify!($Variant), )*
                }
            }

            fn is_blank(&self) -> bool {
                match self {
                    $( Self::$Variant(value) => $crate::element::Value::is_blank(value), )*
                }
            }

            fn read(
                &mut self,
                r: &mut $crate::element::Reader<'_>,
                at: &$crate::issue::Path<'_>,
            ) -> $crate::element::Read<$crate::element::Outcome> {
                match self {
                    $( Self::$Variant(value) => $crate::element::Value::read(value, r, at), )*
                }
            }

            fn read_under(
                &mut self,
                r: &mut $crate::element::Reader<'_>,
                at: &$crate::issue::Path<'_>,
            ) -> $crate::element::Read<Option<$crate::element::Outcome>> {
                match self {
                    $( Self::$Variant(value) => $crate::element::Value::read_under(value, r, at), )*
                }
            }

            fn settle(&self, r: &mut $crate::element::Reader<'_>, at: &$crate::issue::Path<'_>) {
                let at = at.child($crate::element::Choice::name(self));
                match self {
                    $( Self::$Variant(value) => $crate::element::Value::settle(value, r, &at), )*
                }
            }

            fn write(&self, w: &mut $crate::element::Writer) {
                match self {
                    $(
                        Self::$Variant(value) => $crate::element::Value::write_member(
                            value,
                            w,
                            concat!(",\"", $prefix, stringify!($Variant), "\":"),
                            concat!(",\"_", $prefix, stringify!($Variant), "\":"),
                        ),
                    )*
                }
            }

            fn name(&self) -> &'static str {
                match self {
                    $( Self::$Variant(_) => concat!($prefix, stringify!($Variant)), )*
                }
            }
        }

        impl $crate::element::Node for $Name {
            fn check(&self, at: &$crate::issue::Path<'_>, report: &mut $crate::issue::Report) {
                match self {
                    $( Self::$Variant(value) => $crate::element::Node::check(value, at, report), )*
                }
            }

            fn children<'n>(
                &'n self,
                at: &$crate::issue::Path<'_>,
                visit: &mut dyn FnMut(&$crate::issue::Path<'_>, &'n dyn $crate::element::Node),
            ) {
                match self {
                    $( Self::$Variant(value) => $crate::element::Node::children(value, at, visit), )*
                }
            }

            fn facts(&self) -> $crate::element::Facts<'_> {
                match self {
                    $( Self::$Variant(value) => $crate::element::Node::facts(value), )*
                }
            }

            fn id(&self) -> Option<&str> {
                match self {
                    $( Self::$Variant(value) => $crate::element::Node::id(value), )*
                }
            }

            fn definition(&self) -> Option<&'static $crate::element::Definition> {
                match self {
                    $( Self::$Variant(value) => $crate::element::Node::definition(value), )*
                }
            }

            fn as_any(&self) -> Option<&dyn std::any::Any> {
                match self {
                    $( Self::$Variant(value) => $crate::element::Node::as_any(value), )*
                }
            }
        }
    };
}
