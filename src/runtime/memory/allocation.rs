//! The memory that an allocation takes.

/// Returns the memory that an allocation of so many bytes takes.
///
/// The program's allocator has four sizes between one power of two and the next, and 16 bytes between the smallest. Events
/// of one size would otherwise be counted with up to a fifth less than they take.
pub fn allocated(bytes: usize) -> usize {
    let step = bytes.saturating_sub(1).checked_ilog2().map_or(1, |power| 1 << power) / SIZES_PER_DOUBLING;
    bytes.checked_next_multiple_of(step.max(MIN_STEP)).unwrap_or(bytes)
}

/// The number of sizes between one power of two and the next.
const SIZES_PER_DOUBLING: usize = 4;

/// The difference between the smallest sizes in bytes.
const MIN_STEP: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_allocator() {
        let sizes = [0, 1, 16, 17, 128, 129, 160, 161, 1024, 1025, 8192, 8193, 10_240, 1 << 20, usize::MAX];

        let expected = [0, 16, 16, 32, 128, 160, 160, 192, 1024, 1280, 8192, 10_240, 10_240, 1 << 20, usize::MAX];
        assert_eq!(sizes.map(allocated), expected);
    }
}
