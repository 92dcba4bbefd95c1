//! Checks the form of values that YANG types as text: names of the switch and of Kubernetes, ports of URLs.

/// Returns whether this can be the name of a network instance in SR Linux: printable ASCII, at most 247 characters, no
/// blank at either end, and no quote or backslash, which cannot be typed on its CLI.
pub(super) fn is_network_instance(name: &str) -> bool {
    let typed = |c: char| c == ' ' || (c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\'));
    (1..=247).contains(&name.len()) && name.chars().all(typed) && name.trim() == name
}

/// Returns whether this can be the name of a network namespace in Linux, which is a file name.
pub(super) fn is_network_namespace(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && c != '/';
    (1..=255).contains(&name.len()) && name.chars().all(plain) && name != "." && name != ".."
}

/// Returns whether Kubernetes accepts this as a DNS label (RFC 1123): the name of a namespace.
pub(super) fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_dns_part(name)
}

/// Returns whether Kubernetes accepts this as a DNS subdomain (RFC 1123): the name of a node. The length of its parts
/// is not limited.
pub(super) fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_part)
}

fn is_dns_part(part: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !part.is_empty() && part.bytes().all(known) && !part.starts_with('-') && !part.ends_with('-')
}

/// Returns whether Kubernetes accepts this as the value of a label, which may be empty.
pub(super) fn is_label_value(text: &str) -> bool {
    let inner = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    inner && text.len() <= 63 && ends(text.chars().next()) && ends(text.chars().next_back())
}

/// Returns whether Kubernetes accepts this as the key of an annotation or as a class: `name` or `prefix/name`.
pub(super) fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// Returns whether the port in a URL's authority is valid, if there is one: `host`, `host:6443`, `[2001:db8::1]:6443`.
pub(super) fn has_valid_port(authority: &str) -> bool {
    let behind = authority.rsplit_once(']').map_or(authority, |(_, behind)| behind);
    behind.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_only_if_the_switch_or_kubernetes_accepts_them() {
        for (name, expected) in [
            ("default", true),
            ("IP-VRF 1/a", true),
            ("ü", false),
            ("a\"b", false),
            (" a", false),
            ("", false),
            (&"a".repeat(248), false),
        ] {
            assert_eq!(is_network_instance(name), expected, "{name}");
        }
        for (name, expected) in [("srbase-mgmt", true), ("..", false), ("a/b", false), ("a b", false)] {
            assert_eq!(is_network_namespace(name), expected, "{name}");
        }
        for (name, expected) in [("web", true), ("Web", false), ("-web", false), ("a.b", false), ("", false)] {
            assert_eq!(is_dns_label(name), expected, "{name}");
        }
        for (name, expected) in [("node1.example.com", true), ("Node1", false), ("a..b", false), ("ü", false)] {
            assert_eq!(is_dns_subdomain(name), expected, "{name}");
        }
        for (name, expected) in
            [("io.cilium/bgp", true), ("internal-VIP", true), ("a/b/c", false), ("/a", false), ("a/", false)]
        {
            assert_eq!(is_qualified_name(name), expected, "{name}");
        }
    }

    #[test]
    fn a_port_is_absent_or_from_1_to_65535() {
        for (authority, expected) in [
            ("host", true),
            ("host:6443", true),
            ("[2001:db8::1]", true),
            ("[2001:db8::1]:6443", true),
            ("10.0.0.1:99999", false),
            ("10.0.0.1:0", false),
            ("host:", false),
        ] {
            assert_eq!(has_valid_port(authority), expected, "{authority}");
        }
    }
}
