//! The machine, the compiler and the dependencies that figures come from.

use std::fmt;
use std::fs;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where figures come from. Figures of machines with different ids are not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Equal for machines whose figures may be compared: made of the processor, its count, the architecture and the
    /// virtualisation.
    pub id: String,
    /// The processor, as it calls itself.
    pub cpu: String,
    /// Logical processors that may be used.
    pub cpus: usize,
    /// How the processor's clock is governed; `unknown` where the system does not say.
    pub governor: String,
    /// `virtual` under a hypervisor, `container` in one, otherwise `bare`.
    pub virtualisation: String,
    /// The operating system and its kernel.
    pub kernel: String,
    /// The compiler.
    pub rustc: String,
    /// A hash of the lock file that the harness was built with.
    pub lock: String,
    /// Whether the harness was built with optimisation.
    pub optimised: bool,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let cpu = cpu.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned();
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let virtualisation = virtualisation(&info);
        let id = id(&[&cpu, &cpus.to_string(), std::env::consts::ARCH, &virtualisation]);
        let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            id,
            cpu,
            cpus,
            governor: governor.unwrap_or_else(|| "unknown".to_owned()),
            virtualisation,
            kernel: format!("{} {kernel}", std::env::consts::OS).trim().to_owned(),
            rustc: env!("REGATTA_RUSTC").to_owned(),
            lock: env!("REGATTA_LOCK").to_owned(),
            optimised: !cfg!(debug_assertions),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cpus, {}", self.cpu, self.cpus, self.kernel)?;
        if self.optimised { Ok(()) } else { f.write_str(", NOT OPTIMISED: use --release for figures") }
    }
}

fn virtualisation(cpuinfo: &str) -> String {
    let container =
        ["/.dockerenv", "/run/.containerenv"].iter().any(|path| fs::exists(path).unwrap_or(false));
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let word = match (container, flags.split_whitespace().any(|flag| flag == "hypervisor")) {
        (true, _) => "container",
        (false, true) => "virtual",
        (false, false) => "bare",
    };
    word.to_owned()
}

/// FNV-1a over the parts.
fn id(parts: &[&str]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_same_each_time_and_another_for_another_machine() {
        assert_eq!(Machine::this().id, Machine::this().id);
        assert_ne!(id(&["a", "2"]), id(&["a", "4"]));
        assert_ne!(id(&["ab", ""]), id(&["a", "b"]), "parts are kept apart");
    }

    #[test]
    fn a_hypervisor_is_told_by_the_processors_flags() {
        // In a container the flag says nothing of what is around it.
        let word = virtualisation("flags\t\t: fpu hypervisor lm\n");
        assert!(word == "virtual" || word == "container", "{word}");
        assert_ne!(virtualisation("flags\t\t: fpu lm\n"), "virtual");
    }
}
