//! Places in a process's own queue, from which a selective receive may begin: what had arrived before was for somebody else.
//!
//! Whoever asks and waits for the answer behind a full mailbox would look at all of it for each answer. With a mark from
//! before the question it looks at what came after alone (the BEAM's receive markers).
//!
//! A few places are kept, and follow their entries while others are taken out of the queue. A mark whose place was given to
//! a later one begins at the front: slower, and as right.

/// A moment in the life of a process's mailbox: see [`Context::mark`](super::Context::mark).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark(u64);

/// The places of one process's marks.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    made: u64,
    /// By the number of the mark, modulo the places; how many entries of the queue lie before it.
    places: [usize; PLACES],
}

impl Marks {
    /// A mark behind the first `before` entries of the queue.
    pub(crate) fn make(&mut self, before: usize) -> Mark {
        let mark = Mark(self.made);
        self.places[self.made as usize % PLACES] = before;
        self.made += 1;
        mark
    }

    /// How many entries lie before the mark, as far as is known.
    pub(crate) fn find(&self, mark: Mark) -> usize {
        if mark.0 < self.made && self.made - mark.0 <= PLACES as u64 {
            self.places[mark.0 as usize % PLACES]
        } else {
            0
        }
    }

    /// The entry at this index was taken out.
    pub(crate) fn taken(&mut self, index: usize) {
        for place in &mut self.places {
            if *place > index {
                *place -= 1;
            }
        }
    }
}

const PLACES: usize = 4;

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use super::*;

    #[test]
    fn a_mark_follows_its_place_while_entries_are_taken_out() {
        let mut marks = Marks::default();
        let (three, five) = (marks.make(3), marks.make(5));
        marks.taken(4);
        marks.taken(0);
        assert_eq!((marks.find(three), marks.find(five)), (2, 3));
        for _ in 0..9 {
            marks.taken(0);
        }
        assert_eq!((marks.find(three), marks.find(five)), (0, 0));
    }

    #[test]
    fn a_mark_that_later_ones_have_replaced_begins_at_the_front() {
        let mut marks = Marks::default();
        let first = marks.make(7);
        let last = (0..PLACES).map(|_| marks.make(9)).last().expect("there are some");
        assert_eq!((marks.find(first), marks.find(last)), (0, 9));
        assert_eq!(Marks::default().find(last), 0, "a mark of another process");
    }
}
