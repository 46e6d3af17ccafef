use alloc::vec::Vec;

use super::*;
