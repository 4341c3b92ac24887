//! The keys and tokens of the situations that are about them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::KeyPair;

use super::attack::{BAD_SIGNATURE, UNKNOWN_KEYS};
use crate::Outcome;
use crate::server::ServerSettings;

/// An issuer with one key in a file.
pub const ISSUER_OF_FILE: &str = "[issuers.main]\nissuer = \"https://id.example.com/\"\naudience = [\"bench\"]\n\
                                  keys = [{ pem_file = \"first.pub\", algorithm = \"ES256\" }]\n";

/// Returns an issuer whose key set is at the honest producer.
pub fn issuer_of_key_set(port: u16) -> String {
    format!(
        "[issuers.main]\nissuer = \"https://id.example.com/\"\naudience = [\"bench\"]\nalgorithms = [\"ES256\"]\n\
         keys = [{{ jwks_url = \"http://127.0.0.1:{port}/jwks.json\" }}]\n"
    )
}

/// The tokens that honest clients show.
pub struct Tokens {
    /// Signed with the first key.
    pub first: String,
    /// Signed with the key that [`Self::rotate`] adds.
    pub second: String,
    key_set: PathBuf,
    both: String,
}

impl Tokens {
    /// Makes keys, the key set with the first of them, and the tokens of honest clients and of attackers. `with_kid` is
    /// for the key set.
    pub fn make(settings: &ServerSettings, with_kid: bool) -> Outcome<Self> {
        let folder = &settings.folder;
        let [first, second, unknown] = [KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?];
        for (name, key) in [("first", &first), ("second", &second), ("unknown", &unknown)] {
            fs::write(folder.join(name), key.serialize_pem())?;
        }
        fs::write(folder.join("first.pub"), first.public_key_pem())?;
        let key_set = folder.join("jwks.json");
        fs::write(&key_set, format!("{{\"keys\":[{}]}}", public(&first, "first")))?;
        let kid = |kid: &str| if with_kid { vec!["--kid".to_owned(), kid.to_owned()] } else { Vec::new() };
        let padding = ["--claim".to_owned(), format!("padding={}", "x".repeat(2500))];
        fs::write(folder.join(BAD_SIGNATURE), mint(settings, &folder.join("unknown"), &padding)?)?;
        let made_up = (0..30).map(|number| mint(settings, &folder.join("unknown"), &kid(&format!("made-up-{number}"))));
        fs::write(folder.join(UNKNOWN_KEYS), made_up.collect::<Outcome<Vec<_>>>()?.join("\n"))?;
        Ok(Self {
            first: mint(settings, &folder.join("first"), &kid("first"))?,
            second: mint(settings, &folder.join("second"), &kid("second"))?,
            key_set,
            both: format!("{{\"keys\":[{},{}]}}", public(&first, "first"), public(&second, "second")),
        })
    }

    /// Adds the second key to the key set.
    pub fn rotate(&self) -> Outcome<()> {
        let next = self.key_set.with_extension("next");
        fs::write(&next, &self.both)?;
        Ok(fs::rename(next, &self.key_set)?)
    }
}

fn mint(settings: &ServerSettings, key: &Path, arguments: &[String]) -> Outcome<String> {
    let mut command = Command::new(&settings.rillgate);
    command.arg("token").arg("--key").arg(key).args(["--issuer", "https://id.example.com/", "--audience", "bench"]);
    let output = command.args(arguments).output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?.trim().to_owned()),
        false => Err(format!("no token: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// The public key as a JSON Web Key (RFC 7518, 6.2.1).
fn public(key: &KeyPair, kid: &str) -> String {
    // An uncompressed point: 4, and 32 bytes for each coordinate.
    let point = key.public_key_raw();
    let [x, y] = [base64url(&point[1..33]), base64url(&point[33..65])];
    format!(
        "{{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"ES256\",\"use\":\"sig\",\"kid\":\"{kid}\",\"x\":\"{x}\",\"y\":\"{y}\"}}"
    )
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..=three.len() {
            text.push(char::from(DIGITS[(number >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_has_no_padding() {
        let texts = ["", "f", "fo", "foo", "foob"].map(|text| base64url(text.as_bytes()));

        assert_eq!(texts, ["", "Zg", "Zm8", "Zm9v", "Zm9vYg"]);
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }
}
