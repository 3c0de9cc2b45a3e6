//! Images: every one of them is Amazon's.

use underlay_vpc_model::{Ec2Error, Image, Model, Tags};

use super::{
    call::Call, describe::Describe, filter::FilterTable, instances::ROOT_DEVICE, keys::Keys,
    params::Params, xml::Xml,
};

/// The account of Amazon's images.
const OWNER: &str = "137112412989";

/// When all of them were made.
const CREATION: &str = "2026-01-01T00:00:00.000Z";

static FILTERS: FilterTable<Image> = FilterTable {
    fields: &[
        ("architecture", |_, image| vec![image.architecture.clone()]),
        ("creation-date", |_, _| vec![CREATION.to_owned()]),
        ("description", |_, image| vec![image.description.clone()]),
        ("ena-support", |_, _| vec!["true".to_owned()]),
        ("hypervisor", |_, _| vec!["xen".to_owned()]),
        ("image-id", |_, image| vec![image.id.to_string()]),
        ("image-type", |_, _| vec!["machine".to_owned()]),
        ("is-public", |_, _| vec!["true".to_owned()]),
        // Images of Linux that is nobody's product, made of nothing else.
        ("kernel-id", |_, _| Vec::new()),
        ("manifest-location", |_, image| vec![location(image)]),
        ("name", |_, image| vec![image.name.clone()]),
        ("owner-alias", |_, _| vec!["amazon".to_owned()]),
        ("owner-id", |_, _| vec![OWNER.to_owned()]),
        ("platform", |_, _| Vec::new()),
        ("product-code", |_, _| Vec::new()),
        ("product-code.type", |_, _| Vec::new()),
        ("ramdisk-id", |_, _| Vec::new()),
        ("root-device-name", |_, _| vec![ROOT_DEVICE.to_owned()]),
        ("root-device-type", |_, _| vec!["ebs".to_owned()]),
        ("source-image-id", |_, _| Vec::new()),
        ("source-image-region", |_, _| Vec::new()),
        ("source-instance-id", |_, _| Vec::new()),
        ("state", |_, _| vec!["available".to_owned()]),
        ("state-reason-code", |_, _| Vec::new()),
        ("state-reason-message", |_, _| Vec::new()),
        ("virtualization-type", |_, _| vec!["hvm".to_owned()]),
    ],
    tags: Some(|_| &NO_TAGS),
};

/// Images are not the account's to tag.
static NO_TAGS: Tags = Tags::new();

fn location(image: &Image) -> String {
    format!("amazon/{}", image.name)
}

static DESCRIBE: Describe<Image> = Describe {
    action: "DescribeImages",
    ids: "ImageId",
    set: "imagesSet",
    filters: &FILTERS,
    keys: &Keys::NONE,
    require: |model, id| model.require_image(id).map(drop),
    write,
};

/// DescribeImages.
pub(super) fn describe(params: &mut Params) -> Result<Call, Ec2Error> {
    let owners = params.list("Owner")?;
    // Every image here is public: nobody is let in on more.
    params.list("ExecutableBy")?;
    params.flag("IncludeDeprecated")?;
    params.flag("IncludeDisabled")?;
    let amazon = |owner: &String| owner == "amazon" || owner == OWNER;
    let all = DESCRIBE.call(params)?;
    if owners.is_empty() || owners.iter().any(amazon) {
        return Ok(all);
    }
    // Nobody else has any, but an id that is unknown is refused all the same.
    Ok(Call::new(move |model, context| {
        all.run(model, context)?;
        let mut xml = Xml::default();
        xml.items("imagesSet", std::iter::empty::<()>(), |_, ()| {});
        Ok(xml)
    }))
}

fn write(xml: &mut Xml, _: &Model, image: &Image) {
    xml.leaf("imageId", &image.id);
    xml.leaf("imageLocation", location(image));
    xml.leaf("imageState", "available");
    xml.leaf("imageOwnerId", OWNER);
    xml.leaf("imageOwnerAlias", "amazon");
    xml.leaf("creationDate", CREATION);
    xml.leaf("isPublic", true);
    xml.leaf("architecture", &image.architecture);
    xml.leaf("imageType", "machine");
    xml.leaf("name", &image.name);
    xml.leaf("description", &image.description);
    xml.leaf("rootDeviceName", ROOT_DEVICE);
    xml.leaf("rootDeviceType", "ebs");
    xml.leaf("virtualizationType", "hvm");
    xml.leaf("hypervisor", "xen");
    xml.leaf("enaSupport", true);
}
