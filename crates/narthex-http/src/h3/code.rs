//! Error codes (RFC 9114 section 8.1, RFC 9204 section 6).

use quinn::VarInt;

pub(super) const NO_ERROR: VarInt = VarInt::from_u32(0x100);
pub(super) const INTERNAL: VarInt = VarInt::from_u32(0x102);
pub(super) const STREAM_CREATION: VarInt = VarInt::from_u32(0x103);
pub(super) const CLOSED_CRITICAL: VarInt = VarInt::from_u32(0x104);
pub(super) const FRAME_UNEXPECTED: VarInt = VarInt::from_u32(0x105);
pub(super) const FRAME: VarInt = VarInt::from_u32(0x106);
pub(super) const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x107);
pub(super) const MISSING_SETTINGS: VarInt = VarInt::from_u32(0x10a);
pub(super) const REJECTED: VarInt = VarInt::from_u32(0x10b);
pub(super) const CANCELLED: VarInt = VarInt::from_u32(0x10c);
pub(super) const INCOMPLETE: VarInt = VarInt::from_u32(0x10d);
pub(super) const MESSAGE: VarInt = VarInt::from_u32(0x10e);
pub(super) const DECOMPRESSION: VarInt = VarInt::from_u32(0x200);
pub(super) const ENCODER_STREAM: VarInt = VarInt::from_u32(0x201);
