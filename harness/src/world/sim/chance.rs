//! The cryptography of a simulation: real, with keys and random numbers that follow from the seed.
//!
//! So not only sizes and times repeat, but every byte on the virtual network: a flipped bit has the same effect each time,
//! wherever in a packet it is.
//!
//! Whatever is drawn on a thread comes from the one simulation that runs on it; where none runs, there is nothing to draw.

use std::cell::RefCell;

use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::random::Random;

thread_local! {
    static DRAWN: RefCell<Option<Random>> = const { RefCell::new(None) };
}

/// While it lives, this thread draws from a seed.
pub(super) struct Chance(());

impl Chance {
    /// Begins.
    pub(super) fn new(seed: u64) -> Self {
        DRAWN.with_borrow_mut(|drawn| *drawn = Some(Random::apart(seed, "cryptography")));
        Self(())
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        DRAWN.with_borrow_mut(Option::take);
    }
}

/// Has whatever a handshake draws follow from the seed.
pub(super) fn seeded(provider: &mut CryptoProvider) {
    provider.secure_random = &Seeded;
    provider.kx_groups = vec![&SeededX25519];
}

#[derive(Debug)]
struct Seeded;

impl SecureRandom for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        DRAWN.with_borrow_mut(|drawn| {
            let random = drawn.as_mut().ok_or(GetRandomFailed)?;
            for chunk in bytes.chunks_mut(8) {
                chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
            }
            Ok(())
        })
    }
}

/// X25519 with a key that follows from the seed. Libraries whose keys cannot be given do not serve here.
#[derive(Debug)]
struct SeededX25519;

impl SupportedKxGroup for SeededX25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; 32];
        Seeded.fill(&mut bytes)?;
        let secret = StaticSecret::from(bytes);
        let public = PublicKey::from(&secret);
        Ok(Box::new(Exchange { secret, public }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    secret: StaticSecret,
    public: PublicKey,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        if !shared.was_contributory() {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(&shared.as_bytes()[..]))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_an_exchange_agree_and_a_seed_gives_the_same_again() {
        let exchange = || {
            let _chance = Chance::new(3);
            let (one, other) = (SeededX25519.start().unwrap(), SeededX25519.start().unwrap());
            let (mine, theirs) = (one.pub_key().to_vec(), other.pub_key().to_vec());
            let (one, other) = (one.complete(&theirs).unwrap(), other.complete(&mine).unwrap());
            assert_eq!(one.secret_bytes(), other.secret_bytes());
            (mine, theirs)
        };
        assert_eq!(exchange(), exchange());
        assert_ne!(exchange().0, exchange().1);
    }

    #[test]
    fn a_key_that_gives_nothing_away_is_refused_and_so_is_one_that_is_cut() {
        let _chance = Chance::new(3);
        assert!(SeededX25519.start().unwrap().complete(&[0; 32]).is_err());
        assert!(SeededX25519.start().unwrap().complete(&[9; 31]).is_err());
    }

    #[test]
    fn nothing_is_drawn_where_no_simulation_runs() {
        assert!(Seeded.fill(&mut [0; 4]).is_err());
        drop(Chance::new(1));
        assert!(SeededX25519.start().is_err());
    }
}
