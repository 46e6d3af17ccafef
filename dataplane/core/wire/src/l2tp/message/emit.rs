//! Control messages, out (RFC 2661, 4.1, 4.3 and 6).
//!
//! AVPs go out in the order in which the RFC lists them for the message, required ones first; with
//! hiding, a Random Vector comes right after the Message Type.

use alloc::vec::Vec;

use super::{Cdn, Iccn, Icrq, Message, Occn, Ocrq, Proxy, Sccrp, Sccrq};
use crate::l2tp::attribute::{Attribute, Concealed, kind};
use crate::l2tp::avp::{Avp, Hide};
use crate::l2tp::error::EmitError;

impl Message<'_> {
    /// Appends the body, with nothing hidden.
    ///
    /// # Errors
    /// [`EmitError::ValueTooLong`]; then `out` is as it was.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), EmitError> {
        self.emit_with(None::<&mut Never>, out)
    }

    /// Appends the body; values that may be hidden and that `hide` wants hidden are.
    ///
    /// # Errors
    /// [`EmitError::ValueTooLong`]; then `out` is as it was.
    pub fn emit_hidden(&self, hide: &mut impl Hide, out: &mut Vec<u8>) -> Result<(), EmitError> {
        self.emit_with(Some(hide), out)
    }

    fn emit_with<H: Hide>(&self, hide: Option<&mut H>, out: &mut Vec<u8>) -> Result<(), EmitError> {
        let start = out.len();
        let mut writer = Writer {
            out,
            hiding: None,
            value: Vec::new(),
            error: None,
        };
        writer.avp(Attribute::MessageType(self.kind().number()));
        if let Some(hide) = hide {
            let vector = hide.vector();
            writer.avp(Attribute::RandomVector(&vector));
            writer.hiding = Some((hide, vector));
        }
        self.write(&mut writer);
        match writer.error {
            None => Ok(()),
            Some(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }

    fn write(&self, w: &mut Writer<'_, impl Hide>) {
        match self {
            Self::Sccrq(message) => message.write(w),
            Self::Sccrp(message) => message.write(w),
            Self::Scccn(message) => {
                w.option(message.challenge_response.map(Attribute::ChallengeResponse));
            }
            Self::StopCcn(message) => {
                w.avp(Attribute::AssignedTunnelId(message.assigned_tunnel));
                w.avp(Attribute::ResultCode(message.result));
            }
            Self::Hello => {}
            Self::Ocrq(message) => message.write(w),
            Self::Ocrp(message) => {
                w.avp(Attribute::AssignedSessionId(message.assigned_session));
                w.option(message.physical_channel.map(Attribute::PhysicalChannelId));
            }
            Self::Occn(message) => message.write(w),
            Self::Icrq(message) => message.write(w),
            Self::Icrp(message) => w.avp(Attribute::AssignedSessionId(message.assigned_session)),
            Self::Iccn(message) => message.write(w),
            Self::Cdn(message) => message.write(w),
            Self::Wen(message) => w.avp(Attribute::CallErrors(message.errors)),
            Self::Sli(message) => w.avp(Attribute::Accm(message.accm)),
        }
    }
}

impl Sccrq<'_> {
    fn write(&self, w: &mut Writer<'_, impl Hide>) {
        w.avp(Attribute::ProtocolVersion(self.version));
        w.avp(Attribute::HostName(self.host_name));
        w.avp(Attribute::FramingCapabilities(self.framing));
        w.avp(Attribute::AssignedTunnelId(self.assigned_tunnel));
        w.option(self.bearer.map(Attribute::BearerCapabilities));
        w.option(self.receive_window.map(Attribute::ReceiveWindowSize));
        w.option(self.challenge.map(Attribute::Challenge));
        w.option(self.tie_breaker.map(Attribute::TieBreaker));
        w.option(self.firmware.map(Attribute::FirmwareRevision));
        w.option(self.vendor_name.map(Attribute::VendorName));
    }
}

impl Sccrp<'_> {
    fn write(&self, w: &mut Writer<'_, impl Hide>) {
        w.avp(Attribute::ProtocolVersion(self.version));
        w.avp(Attribute::FramingCapabilities(self.framing));
        w.avp(Attribute::HostName(self.host_name));
        w.avp(Attribute::AssignedTunnelId(self.assigned_tunnel));
        w.option(self.bearer.map(Attribute::BearerCapabilities));
        w.option(self.firmware.map(Attribute::FirmwareRevision));
        w.option(self.vendor_name.map(Attribute::VendorName));
        w.option(self.receive_window.map(Attribute::ReceiveWindowSize));
        w.option(self.challenge.map(Attribute::Challenge));
        w.option(self.challenge_response.map(Attribute::ChallengeResponse));
    }
}

impl Ocrq<'_> {
    fn write(&self, w: &mut Writer<'_, impl Hide>) {
        w.avp(Attribute::AssignedSessionId(self.assigned_session));
        w.avp(Attribute::CallSerialNumber(self.serial_number));
        w.avp(Attribute::MinimumBps(self.minimum_bps));
        w.avp(Attribute::MaximumBps(self.maximum_bps));
        w.avp(Attribute::BearerType(self.bearer_type));
        w.avp(Attribute::FramingType(self.framing_type));
        w.avp(Attribute::CalledNumber(self.called_number));
        w.option(self.sub_address.map(Attribute::SubAddress));
    }
}

impl Occn {
    fn write(&self, w: &mut Writer<'_, impl Hide>) {
        w.avp(Attribute::TxConnectSpeed(self.tx_connect_speed));
        w.avp(Attribute::FramingType(self.framing_type));
        w.option(self.rx_connect_speed.map(Attribute::RxConnectSpeed));
        w.option(
            self.sequencing_required
                .then_some(Attribute::SequencingRequired),
        );
    }
}

impl Icrq<'_> {
    fn write(&self, w: &mut Writer<'_, impl Hide>) {
        w.avp(Attribute::AssignedSessionId(self.assigned_session));
        w.avp(Attribute::CallSerialNumber(self.serial_number));
        w.option(self.bearer_type.map(Attribute::BearerType));
        w.option(self.physical_channel.map(Attribute::PhysicalChannelId));
        w.option(self.calling_number.map(Attribute::CallingNumber));
        w.option(self.called_number.map(Attribute::CalledNumber));
        w.option(self.sub_address.map(Attribute::SubAddress));
    }
}

impl Iccn<'_> {
    fn write(&self, w: &mut Writer<'_, impl Hide>) {
        w.avp(Attribute::TxConnectSpeed(self.tx_connect_speed));
        w.avp(Attribute::FramingType(self.framing_type));
        self.proxy.write(w);
        w.option(self.private_group.map(Attribute::PrivateGroupId));
        w.option(self.rx_connect_speed.map(Attribute::RxConnectSpeed));
        w.option(
            self.sequencing_required
                .then_some(Attribute::SequencingRequired),
        );
    }
}

impl Proxy<'_> {
    fn write(&self, w: &mut Writer<'_, impl Hide>) {
        w.option(self.initial_received_lcp.map(Attribute::InitialReceivedLcp));
        w.option(self.last_sent_lcp.map(Attribute::LastSentLcp));
        w.option(self.last_received_lcp.map(Attribute::LastReceivedLcp));
        w.option(self.authen_type.map(Attribute::ProxyAuthenType));
        w.option(self.authen_name.map(Attribute::ProxyAuthenName));
        w.option(self.authen_challenge.map(Attribute::ProxyAuthenChallenge));
        w.option(self.authen_id.map(Attribute::ProxyAuthenId));
        w.option(
            self.authen_response
                .map(Concealed)
                .map(Attribute::ProxyAuthenResponse),
        );
    }
}

impl Cdn<'_> {
    fn write(&self, w: &mut Writer<'_, impl Hide>) {
        w.avp(Attribute::ResultCode(self.result));
        w.avp(Attribute::AssignedSessionId(self.assigned_session));
        w.option(self.q931.map(Attribute::Q931CauseCode));
        w.option(self.disconnect.map(Attribute::PppDisconnectCause));
    }
}

/// Writes AVPs, and remembers the first that could not be written.
struct Writer<'w, H> {
    out: &'w mut Vec<u8>,
    hiding: Option<(&'w mut H, [u8; 16])>,
    value: Vec<u8>,
    error: Option<EmitError>,
}

impl<H: Hide> Writer<'_, H> {
    fn avp(&mut self, attribute: Attribute<'_>) {
        let kind = attribute.kind();
        self.value.clear();
        attribute.emit(&mut self.value);
        let mut hidden = false;
        if let Some((hide, vector)) = &mut self.hiding
            && kind::may_be_hidden(kind)
            && hide.is_hidden(kind)
        {
            let clear = core::mem::take(&mut self.value);
            hide.hide(kind, vector, &clear, &mut self.value);
            hidden = true;
        }
        let avp = Avp {
            mandatory: kind::is_mandatory(kind),
            hidden,
            reserved: false,
            vendor: 0,
            kind,
            value: &self.value,
        };
        if let Err(error) = avp.emit(self.out) {
            self.error.get_or_insert(error);
        }
    }

    fn option(&mut self, attribute: Option<Attribute<'_>>) {
        if let Some(attribute) = attribute {
            self.avp(attribute);
        }
    }
}

/// Hides nothing, and cannot be made.
enum Never {}

impl Hide for Never {
    fn is_hidden(&self, _: u16) -> bool {
        match *self {}
    }

    fn vector(&mut self) -> [u8; 16] {
        match *self {}
    }

    fn hide(&mut self, _: u16, _: &[u8], _: &[u8], _: &mut Vec<u8>) {
        match *self {}
    }
}
