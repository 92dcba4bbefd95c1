//! Random damage to valid input, for decoders.

use proptest::prelude::*;
use proptest::sample::Index;

/// Damage to bytes: some are replaced, removed, repeated or inserted.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Replace(Index, u8),
    Cut(Index, Index),
    Repeat(Index, Index),
    Insert(Index, &'static [u8]),
}

/// Text that is hard for decoders: JSON, protobuf lengths, invalid characters.
const WORDS: &[&[u8]] = &[
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e999",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"\xe2\x80\xae",
    b"\"",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\x0f",
    b"\x00",
];

/// Returns random damage.
pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Cut(from, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        (any::<Index>(), prop::sample::select(WORDS)).prop_map(|(at, word)| Damage::Insert(at, word)),
    ]
}

/// Returns a seed with all of this damage, applied in order.
pub(crate) fn damaged(seed: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let span = |from: &Index, to: &Index| {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            (from.min(to), from.max(to).min(from.min(to) + 64))
        };
        match damage {
            Damage::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Cut(from, to) => {
                let (from, to) = span(from, to);
                bytes.drain(from..to);
            }
            Damage::Repeat(from, to) => {
                let (from, to) = span(from, to);
                let part = bytes[from..to].to_vec();
                bytes.splice(from..from, part);
            }
            Damage::Insert(at, word) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
    bytes
}
