//! The table of histories, continued: the two guarantees about ISRs by content.

use super::*;
use crate::base::ids::BrokerId;
use crate::check::table_tests::{Case, sound, story};
use crate::view::story::P0;
use Guarantee::{StrongIsr, WeakIsr};

pub(super) fn cases() -> Vec<Case> {
    let case = |guarantee, broken, holding| Case { guarantee, broken, holding };
    vec![
        case(
            WeakIsr,
            vec![
                (
                    story(|s| {
                        let batch = s.send(&[0]);
                        s.append(1, batch, 0, 0);
                        s.append(2, batch, 0, 0);
                        s.high_watermark(1, 1);
                    }),
                    "b3, in the ISR of orders-0, differs from b1 below its HW 1.",
                ),
                (
                    // b1 is deposed and does not know: its own ISR is what counts.
                    story(|s| {
                        let batch = s.send(&[0]);
                        s.replicate(&[1, 2, 3], batch, 0, 0);
                        s.leads(2, 1, &[2]);
                        s.truncate(3, 0, 1);
                    }),
                    "b3, in the ISR of orders-0, truncates to 0; the HW of b1 is 1.",
                ),
            ],
            vec![
                sound(),
                story(|s| {
                    let batch = s.send(&[0]);
                    s.append(1, batch, 0, 0);
                    s.append(2, batch, 0, 0);
                    let isr = [1, 2].into_iter().map(BrokerId).collect();
                    s.broker(1, EventKind::IsrKnown { partition: P0, isr });
                    s.high_watermark(1, 1);
                }),
            ],
        ),
        case(
            StrongIsr,
            vec![
                (
                    // b1 knows of nobody else in the ISR, but the controller does.
                    story(|s| {
                        let batch = s.send(&[0]);
                        s.append(1, batch, 0, 0);
                        let isr = [1].into_iter().map(BrokerId).collect();
                        s.broker(1, EventKind::IsrKnown { partition: P0, isr });
                        s.high_watermark(1, 1);
                    }),
                    "b2, in the ISR of orders-0, differs from b1 below its HW 1.",
                ),
                (
                    story(|s| {
                        s.registers(Some(1), 0, [1].into_iter().map(BrokerId).collect());
                        let batch = s.send(&[0]);
                        s.replicate(&[1], batch, 0, 0);
                        s.registers(Some(1), 0, [1, 3].into_iter().map(BrokerId).collect());
                    }),
                    "b3, in the ISR of orders-0, differs from b1 below its HW 1.",
                ),
                (
                    story(|s| {
                        let batch = s.send(&[0]);
                        s.replicate(&[1, 2, 3], batch, 0, 0);
                        s.truncate(3, 0, 0);
                    }),
                    "b3, in the ISR of orders-0, truncates to 0; the HW of b1 is 1.",
                ),
            ],
            vec![sound()],
        ),
    ]
}
