//! The address ranges of VIP pools.

use std::net::IpAddr;

use ipnet::IpNet;

/// A range of addresses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    v6: bool,
    first: u128,
    last: u128,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

impl Block {
    /// Parses `10.0.0.0/24`, `10.0.0.1-10.0.0.9` with or without blanks, or a single address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((first, last)) = text.split_once('-') {
            return Self::range(first.trim().parse().ok()?, last.trim().parse().ok()?);
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Self::range(network.network(), network.broadcast());
        }
        let address = text.parse().ok()?;
        Self::range(address, address)
    }

    /// Returns the range between two addresses of the same family.
    pub(crate) fn range(first: IpAddr, last: IpAddr) -> Option<Self> {
        let (low, high) = (number(first), number(last));
        let sound = first.is_ipv6() == last.is_ipv6() && low <= high;
        sound.then_some(Self { v6: first.is_ipv6(), first: low, last: high })
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.v6
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.v6 && (self.first..=self.last).contains(&number(address))
    }

    /// Returns the addresses in order.
    pub(crate) fn addresses(self) -> impl Iterator<Item = IpAddr> {
        (self.first..=self.last).map(move |number| match u32::try_from(number) {
            Ok(v4) if !self.v6 => IpAddr::V4(v4.into()),
            _ => IpAddr::V6(number.into()),
        })
    }

    /// Returns the range without its first and last address, or unchanged if it has at most two addresses.
    pub(crate) fn inner(self) -> Self {
        if self.last - self.first < 2 { self } else { Self { first: self.first + 1, last: self.last - 1, ..self } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_networks_and_single_addresses_are_parsed_as_blocks() {
        let block = Block::parse(" 1.1.1.100 - 1.1.1.102 ").expect("a range");
        let addresses: Vec<String> = block.addresses().map(|address| address.to_string()).collect();
        assert_eq!(addresses, ["1.1.1.100", "1.1.1.101", "1.1.1.102"]);
        let six = Block::parse("2001:db8::/126").expect("a network");
        assert_eq!(six.inner().addresses().count(), 2);
        assert!(six.contains("2001:db8::3".parse().expect("an address")));
        assert!(Block::parse("10.0.0.9").expect("one").contains("10.0.0.9".parse().expect("an address")));
    }

    #[test]
    fn nonsense_is_not_parsed_as_a_block() {
        for text in ["", "10.0.0.9-10.0.0.1", "10.0.0.1-fd00::1", "10.0.0.0/33", "web"] {
            assert_eq!(Block::parse(text), None, "{text}");
        }
    }
}
