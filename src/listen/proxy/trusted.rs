//! Proxies that are trusted: peers whose word about the client is believed.
//!
//! An IPv4 address is the same one however a dual-stack socket writes it. Does not know what the word is, nor where it
//! stands.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// The networks of a listener's trusted proxies. Cheap to clone. Default: none.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Whether an address is one of theirs.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl From<&[IpNet]> for TrustedProxies {
    fn from(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_in_both_forms() {
        let trusted = TrustedProxies::from(["10.0.0.0/8".parse().expect("a network")].as_slice());
        for (address, is_trusted) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.0.0.1", false), ("::1", false)]
        {
            assert_eq!(trusted.contains(address.parse().expect("an address")), is_trusted, "{address}");
        }
    }
}
