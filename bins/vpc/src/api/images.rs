//! Images: every one of them is Amazon's.

use underlay_types::ImageId;
use underlay_vpc_model::{Ec2Error, Image, Model};

use super::{call::Call, describe::Describe, filter::FilterTable, params::Params, xml::Xml};

/// The account of Amazon's images.
const OWNER: &str = "137112412989";

static FILTERS: FilterTable<Image> = FilterTable {
    fields: &[
        ("architecture", |_, image| vec![image.architecture.clone()]),
        ("description", |_, image| vec![image.description.clone()]),
        ("hypervisor", |_, _| vec!["xen".to_owned()]),
        ("image-id", |_, image| vec![image.id.to_string()]),
        ("image-type", |_, _| vec!["machine".to_owned()]),
        ("is-public", |_, _| vec!["true".to_owned()]),
        ("name", |_, image| vec![image.name.clone()]),
        ("owner-alias", |_, _| vec!["amazon".to_owned()]),
        ("owner-id", |_, _| vec![OWNER.to_owned()]),
        ("root-device-type", |_, _| vec!["ebs".to_owned()]),
        ("state", |_, _| vec!["available".to_owned()]),
        ("virtualization-type", |_, _| vec!["hvm".to_owned()]),
    ],
    tags: None,
};

/// The images of Amazon: all there are.
static OF_AMAZON: Describe<Image, ImageId> = images_of(|model| Box::new(model.images()));

/// The images of everybody else.
static OF_OTHERS: Describe<Image, ImageId> = images_of(|_| Box::new(std::iter::empty()));

const fn images_of(
    all: fn(&Model) -> Box<dyn Iterator<Item = &Image> + '_>,
) -> Describe<Image, ImageId> {
    Describe {
        action: "DescribeImages",
        ids: "ImageId",
        set: "imagesSet",
        filters: &FILTERS,
        all,
        require: |model, id| model.require_image(id).map(drop),
        id: |image| &image.id,
        write,
    }
}

/// DescribeImages.
pub(super) fn describe(params: &mut Params) -> Result<Call, Ec2Error> {
    let owners = params.list("Owner")?;
    // Every image here is public: nobody is let in on more.
    params.list("ExecutableBy")?;
    params.flag("IncludeDeprecated")?;
    params.flag("IncludeDisabled")?;
    let amazon = |owner: &String| owner == "amazon" || owner == OWNER;
    if owners.is_empty() || owners.iter().any(amazon) {
        OF_AMAZON.call(params)
    } else {
        OF_OTHERS.call(params)
    }
}

fn write(xml: &mut Xml, _: &Model, image: &Image) {
    xml.leaf("imageId", &image.id);
    xml.leaf("imageLocation", format!("amazon/{}", image.name));
    xml.leaf("imageState", "available");
    xml.leaf("imageOwnerId", OWNER);
    xml.leaf("imageOwnerAlias", "amazon");
    xml.leaf("creationDate", "2026-01-01T00:00:00.000Z");
    xml.leaf("isPublic", true);
    xml.leaf("architecture", &image.architecture);
    xml.leaf("imageType", "machine");
    xml.leaf("name", &image.name);
    xml.leaf("description", &image.description);
    xml.leaf("rootDeviceType", "ebs");
    xml.leaf("virtualizationType", "hvm");
    xml.leaf("hypervisor", "xen");
    xml.leaf("enaSupport", true);
}
