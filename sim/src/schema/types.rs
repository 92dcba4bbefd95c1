//! Types of leaves, as far as needed to format values in JSON, PROTO and on the CLI.

use super::statements::{Modules, Scoped};

/// Type and default of a leaf or leaf-list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafInfo {
    /// Base type.
    pub kind: LeafType,
    /// The typedef named in its definition, without prefix; empty for a built-in type.
    pub typedef: String,
    /// Default, in canonical form.
    pub default: Option<String>,
    /// Whether the value is restricted beyond its base type (a pattern, a range, a length), so that libyang must check
    /// it.
    pub restricted: bool,
    /// The range, as written in the module.
    pub range: Option<String>,
    /// Units.
    pub units: Option<String>,
}

impl LeafInfo {
    /// Returns whether the CLI shows how long ago the value was.
    pub fn shows_age(&self) -> bool {
        self.typedef == "date-and-time-delta"
    }
}

/// Base type of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafType {
    /// `boolean`
    Boolean,
    /// `empty`
    Empty,
    /// A signed integer with this number of bits.
    Signed(u8),
    /// An unsigned integer with this number of bits.
    Unsigned(u8),
    /// `decimal64`
    Decimal,
    /// `enumeration` with its names; empty if they are unknown.
    Enumeration(Vec<String>),
    /// `identityref`
    Identity,
    /// A `union` of these.
    Union(Vec<LeafType>),
    /// Any other type: text in every encoding.
    Text,
}

impl LeafType {
    /// Returns whether it is a number, which tables align to the right.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Signed(_) | Self::Unsigned(_) | Self::Decimal)
    }

    /// Returns the member of a union to which a value belongs, or the type itself if it is not a union.
    pub fn of_value(&self, value: &str) -> &Self {
        match self {
            Self::Union(members) => {
                members.iter().map(|it| it.of_value(value)).find(|it| it.allows(value)).unwrap_or(&Self::Text)
            }
            _ => self,
        }
    }

    /// Returns whether a value can have this type, ignoring restrictions.
    pub(crate) fn allows(&self, value: &str) -> bool {
        match self {
            Self::Boolean => matches!(value, "true" | "false"),
            Self::Empty => value.is_empty(),
            Self::Signed(bits) => {
                value.parse::<i128>().is_ok_and(|it| it >= -(1 << (bits - 1)) && it < (1 << (bits - 1)))
            }
            Self::Unsigned(bits) => value.parse::<u128>().is_ok_and(|it| it < (1 << bits)),
            Self::Decimal => value.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Enumeration(names) => names.is_empty() || names.iter().any(|name| name == value),
            Self::Identity => !value.is_empty() && !value.contains(char::is_whitespace),
            Self::Union(members) => members.iter().any(|member| member.allows(value)),
            Self::Text => true,
        }
    }
}

/// The information in a `type` statement.
#[derive(Debug)]
pub(super) struct TypeText {
    pub(super) kind: Option<LeafType>,
    pub(super) restricted: bool,
    pub(super) range: Option<String>,
}

/// Follows a `type` statement through typedefs to a built-in type.
pub(super) fn read(modules: &Modules, scoped: Scoped<'_>) -> TypeText {
    let it = scoped.it;
    let mut text = TypeText {
        kind: None,
        restricted: ["pattern", "range", "length", "path", "fraction-digits"]
            .iter()
            .any(|word| it.find(word).is_some()),
        range: it.find("range").map(|range| range.argument.clone()),
    };
    let bits = |prefix: &str| it.argument.strip_prefix(prefix).and_then(|bits| bits.parse::<u8>().ok());
    text.kind = match it.argument.as_str() {
        "boolean" => Some(LeafType::Boolean),
        "empty" => Some(LeafType::Empty),
        "decimal64" => Some(LeafType::Decimal),
        "string" => Some(LeafType::Text),
        "identityref" => Some(LeafType::Identity),
        "binary" | "bits" | "instance-identifier" => {
            text.restricted = true;
            Some(LeafType::Text)
        }
        "enumeration" => Some(LeafType::Enumeration(it.all("enum").map(|it| it.argument.clone()).collect())),
        "union" => {
            text.restricted = true;
            let members =
                it.all("type").map(|it| read(modules, Scoped { it, ..scoped }).kind.unwrap_or(LeafType::Text));
            Some(LeafType::Union(members.collect()))
        }
        "leafref" => None,
        _ if bits("uint").is_some() => bits("uint").map(LeafType::Unsigned),
        _ if bits("int").is_some() => bits("int").map(LeafType::Signed),
        name => {
            let typedef = modules.lookup(scoped.module, "typedef", name);
            let inner = typedef.and_then(|typedef| typedef.it.find("type").map(|it| Scoped { it, ..typedef }));
            let Some(inner) = inner else {
                return TypeText { restricted: true, ..text };
            };
            let inner = read(modules, inner);
            return TypeText {
                kind: inner.kind,
                restricted: text.restricted || inner.restricted,
                range: text.range.or(inner.range),
            };
        }
    };
    text.restricted |= text.kind == Some(LeafType::Identity);
    text
}
