//! An append-only list whose full chunks are shared between clones, so that a checkpoint of a long run costs a
//! pointer per chunk and not a copy of every element.

use std::sync::Arc;

/// Elements of one chunk.
const CHUNK: usize = 1_024;

/// An append-only list that clones cheaply.
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
}
