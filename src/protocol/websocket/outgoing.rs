//! Frames that are sent: whole messages, a client's masked and a server's not.

use super::Opcode;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Adds a message in one frame to `out`, masked with `mask`: a client's frames are, a server's are not (RFC 6455,
/// section 5.1).
pub fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    let opcode = match opcode {
        Opcode::Text => OpCode::Data(Data::Text),
        Opcode::Binary => OpCode::Data(Data::Binary),
        Opcode::Close => OpCode::Control(Control::Close),
        Opcode::Ping => OpCode::Control(Control::Ping),
        Opcode::Pong => OpCode::Control(Control::Pong),
    };
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    // Writing to a Vec can't fail.
    let _ = header.format(payload.len() as u64, out);
    let begin = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        super::mask(&mut out[begin..], mask);
    }
}

/// Adds a close frame to `out`: a code with a reason of at most 123 bytes, or neither.
pub fn write_close(out: &mut Vec<u8>, code: Option<u16>, reason: &str, mask: Option<[u8; 4]>) {
    let payload = code.map_or_else(Vec::new, |code| [&code.to_be_bytes(), reason.as_bytes()].concat());
    write(out, Opcode::Close, &payload, mask);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn frames_have_the_length_and_the_mask_that_they_say() {
        for size in [0_usize, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..size).map(|n| n as u8).collect();
            let mut out = Vec::new();
            write(&mut out, Opcode::Binary, &payload, Some([1, 2, 3, 4]));
            let mut cursor = Cursor::new(&out[..]);
            let (header, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            assert_eq!((header.mask, length, header.is_final), (Some([1, 2, 3, 4]), size as u64, true));
            let at = cursor.position() as usize;
            let plain: Vec<u8> =
                out[at..].iter().enumerate().map(|(n, byte)| byte ^ [1, 2, 3, 4][n % 4]).collect();
            assert_eq!(plain, payload, "{size}");
        }
        let mut out = Vec::new();
        write_close(&mut out, Some(1000), "", Some([0; 4]));
        assert_eq!(out, b"\x88\x82\0\0\0\0\x03\xe8");
        out.clear();
        write_close(&mut out, None, "", None);
        write_close(&mut out, Some(1009), "long", None);
        assert_eq!(out, b"\x88\x00\x88\x06\x03\xf1long");
    }
}
