//! What every Describe does alike: ids, filters, pages.

use underlay_vpc_model::{Ec2Error, ErrorCode, Model};

use super::{
    call::Call,
    filter::{FilterTable, Filters},
    ids::WireId,
    page::Page,
    params::Params,
    xml::Xml,
};

/// How a kind of object is described.
pub(super) struct Describe<T: 'static, I> {
    /// The action.
    pub(super) action: &'static str,
    /// The parameter that names objects by id.
    pub(super) ids: &'static str,
    /// The element around the objects.
    pub(super) set: &'static str,
    /// What filters see.
    pub(super) filters: &'static FilterTable<T>,
    /// All objects, by id.
    pub(super) all: fn(&Model) -> Box<dyn Iterator<Item = &T> + '_>,
    /// The object of an id, or EC2's answer that there is none.
    pub(super) require: fn(&Model, &I) -> Result<(), Ec2Error>,
    /// The object's id.
    pub(super) id: fn(&T) -> &I,
    /// Writes the object.
    pub(super) write: fn(&mut Xml, &Model, &T),
}

impl<T, I: WireId + ToString + Send + Sync + 'static> Describe<T, I> {
    /// Reads the call.
    ///
    /// # Errors
    /// Those of ids, filters and pages; `InvalidParameterCombination` for ids with pages.
    pub(super) fn call(&'static self, params: &mut Params) -> Result<Call, Ec2Error> {
        let ids: Vec<I> = params.ids(self.ids)?;
        let filters = Filters::take(params, self.filters)?;
        let page = Page::take(params, self.action, 1_000)?;
        if !ids.is_empty() && page.is_wanted() {
            let text = format!(
                "The parameter {} cannot be used with the parameter maxResults",
                self.ids
            );
            return Err(Ec2Error::new(ErrorCode::InvalidParameterCombination, text));
        }
        Ok(Call::new(move |model, _| {
            self.run(model, &ids, &filters, &page)
        }))
    }

    fn run(
        &self,
        model: &Model,
        ids: &[I],
        filters: &Filters,
        page: &Page,
    ) -> Result<Xml, Ec2Error> {
        for id in ids {
            (self.require)(model, id)?;
        }
        let wanted = |each: &&T| {
            (ids.is_empty() || ids.contains((self.id)(each)))
                && filters.pass(model, self.filters, each)
        };
        let all = (self.all)(model).filter(wanted).collect();
        let (objects, next) = page.cut(all, |each| (self.id)(each).to_string());
        let mut xml = Xml::default();
        xml.items(self.set, objects, |xml, object| {
            (self.write)(xml, model, object)
        });
        xml.optional("nextToken", next);
        Ok(xml)
    }
}
