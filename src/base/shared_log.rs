//! A list that grows and is cut at its end, whose full chunks are shared between clones, so that a checkpoint of a
//! long run costs a pointer per chunk and not a copy of every element.

use std::sync::Arc;

/// Elements of one chunk.
const CHUNK: usize = 1_024;

/// A list that clones cheaply.
#[derive(Clone, Debug)]
pub struct SharedLog<T> {
    sealed: Vec<Arc<[T]>>,
    open: Vec<T>,
}

impl<T> Default for SharedLog<T> {
    fn default() -> Self {
        Self { sealed: Vec::new(), open: Vec::new() }
    }
}

impl<T: Clone> SharedLog<T> {
    /// Appends `item` and returns its index.
    pub fn push(&mut self, item: T) -> usize {
        let index = self.len();
        self.open.push(item);
        if self.open.len() == CHUNK {
            self.sealed.push(Arc::from(self.open.as_slice()));
            self.open.clear();
        }
        index
    }

    /// Drops everything from index `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        let (chunk, rest) = (len / CHUNK, len % CHUNK);
        if let Some(cut) = self.sealed.get(chunk) {
            self.open = cut[..rest].to_vec();
            self.sealed.truncate(chunk);
        } else {
            self.open.truncate(rest);
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.sealed.len() * CHUNK + self.open.len()
    }

    /// True when nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&T> {
        match self.sealed.get(index / CHUNK) {
            Some(chunk) => chunk.get(index % CHUNK),
            None => self.open.get(index - self.sealed.len() * CHUNK),
        }
    }

    /// All elements in order of appending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + '_ {
        self.sealed.iter().flat_map(|chunk| chunk.iter()).chain(self.open.iter())
    }
}

impl<T: Clone> std::ops::Index<usize> for SharedLog<T> {
    type Output = T;
    fn index(&self, index: usize) -> &T {
        self.get(index).expect("index within the list")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_index_across_chunks() {
        let mut log = SharedLog::default();
        for n in 0..3_000usize {
            assert_eq!(log.push(n), n);
        }
        assert_eq!(log.len(), 3_000);
        assert!((0..3_000).all(|n| log[n] == n));
        assert!(log.iter().copied().eq(0..3_000));
        assert_eq!(log.get(3_000), None);
    }

    #[test]
    fn what_is_cut_off_is_gone_and_the_list_grows_on() {
        for len in [0, 1, 1_023, 1_024, 1_025, 2_048, 2_999, 3_000, 9_000] {
            let mut log = SharedLog::default();
            for n in 0..3_000usize {
                log.push(n);
            }
            log.truncate(len);
            let kept = len.min(3_000);
            assert_eq!(log.len(), kept);
            assert_eq!(log.push(7), kept);
            assert!(log.iter().copied().eq((0..kept).chain([7])), "{len}");
        }
    }
}
