//! A table in pages that clones share until one of them writes: what lets a screen keep a checkpoint of the whole
//! view every few thousand events.

use std::sync::Arc;

/// Elements of one page.
const PAGE: usize = 512;

/// A growing table whose clones share pages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paged<T> {
    pages: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T: Clone> Paged<T> {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds `item` at the end.
    pub fn push(&mut self, item: T) {
        if self.len.is_multiple_of(PAGE) {
            self.pages.push(Arc::new(Vec::with_capacity(PAGE)));
        }
        let page = self.pages.last_mut().expect("a page was pushed where the last was full");
        Arc::make_mut(page).push(item);
        self.len += 1;
    }

    /// The element at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / PAGE)?.get(index % PAGE)
    }

    /// Puts `item` in the place of the element at `index`.
    ///
    /// # Panics
    /// When there is none.
    pub fn set(&mut self, index: usize, item: T) {
        Arc::make_mut(&mut self.pages[index / PAGE])[index % PAGE] = item;
    }

    /// Removes what `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let mut kept = Self::default();
        self.iter().filter(|item| keep(item)).for_each(|item| kept.push(item.clone()));
        *self = kept;
    }

    /// The last element.
    pub fn last(&self) -> Option<&T> {
        self.get(self.len.checked_sub(1)?)
    }

    /// Removes everything from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.pages.truncate(len.div_ceil(PAGE));
            if let Some(page) = self.pages.last_mut().filter(|_| !len.is_multiple_of(PAGE)) {
                Arc::make_mut(page).truncate(len % PAGE);
            }
            self.len = len;
        }
    }

    /// The elements from `index` on, in order.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = &T> + '_ {
        let first = index / PAGE;
        let pages = self.pages.get(first..).unwrap_or(&[]);
        pages.iter().flat_map(|page| page.iter()).skip(index % PAGE)
    }

    /// All elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        self.iter_from(0)
    }

    /// The first index for which `is_before` is false, the table being sorted by it.
    pub fn partition_point(&self, mut is_before: impl FnMut(&T) -> bool) -> usize {
        let page = self.pages.partition_point(|page| page.last().is_some_and(&mut is_before));
        match self.pages.get(page) {
            Some(found) => page * PAGE + found.partition_point(is_before),
            None => self.len,
        }
    }
}

impl<T: Clone + Default> Paged<T> {
    /// The element at `index`, to change; the table grows by defaults up to it.
    pub fn entry(&mut self, index: usize) -> &mut T {
        while self.len <= index {
            self.push(T::default());
        }
        &mut Arc::make_mut(&mut self.pages[index / PAGE])[index % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_like_a_vec() {
        let mut table = Paged::default();
        let mut model = Vec::new();
        for n in 0..1_300 {
            table.push(n);
            model.push(n);
        }
        let before = table.clone();
        let mut odd = table.clone();
        odd.set(600, 9);
        odd.retain(|n| n % 2 == 1);
        assert!(
            odd.iter().copied().eq((0..1_300)
                .filter(|n| n % 2 == 1 || *n == 600)
                .map(|n| { if n == 600 { 9 } else { n } }))
        );
        for len in [1_299, 1_024, 513, 512, 511, 1, 0] {
            table.truncate(len);
            model.truncate(len);
            assert!(table.iter().eq(model.iter()), "truncated to {len}");
            assert_eq!(table.partition_point(|n| *n < 600), len.min(600));
            table.push(9_999);
            assert_eq!(table.last(), Some(&9_999));
            table.truncate(len);
        }
        assert!(before.iter().copied().eq(0..1_300), "a clone keeps what it had");
        assert!(before.iter_from(700).copied().eq(700..1_300));
        assert_eq!(*table.entry(600), 0);
        assert_eq!(table.len(), 601);
    }
}
